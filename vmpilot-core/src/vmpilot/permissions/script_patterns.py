"""The scripts of sed and awk, and formats of printf and date, that are known to only print: patterns that fail closed.

Excluded are sed's `e`, `w`, `r` and their flags, awk's `system`, `getline`, pipes and redirections, printf's `%n`, and
everything that two versions of a program may split into different commands. `[]/]` and `[^]/]` are one bracket
expression to GNU sed and two to others, so bracket expressions hold plain characters and named classes only, and only
some characters may follow a backslash.
"""

from __future__ import annotations

import re

_CLASS = r"\[:(?:alnum|alpha|blank|digit|lower|punct|space|upper):\]"
_BRACKET_PLAIN = r"A-Za-z0-9_ .+*?%<>\"'()-"
_ESCAPED = r"[.*+?(){}|^$&\[\]wWsSbBnt<>0-9]"


def _expression(delimiter: str) -> str:
    """One unit of a regular expression; it holds the delimiter only after a backslash, and not in brackets."""
    inner = "".join(re.escape(sign) for sign in ",;@#!~|/&" if sign != delimiter)
    bracket = rf"\[\^?(?:{_CLASS}|[{inner}{_BRACKET_PLAIN}])+\]"
    mark = re.escape(delimiter)
    return rf"(?:[^{mark}\\\[\]]|\\(?:{_ESCAPED}|{mark})|{bracket})"


def _replacement(delimiter: str) -> str:
    mark = re.escape(delimiter)
    return rf"(?:[^{mark}\\]|\\(?:{_ESCAPED}|\\|[ULElu]|{mark}))"


_ADDRESS = rf"(?:\d+(?:~\d+)?|\$|/{_expression('/')}+/I?)"
_SUBSTITUTION = "|".join(
    rf"s{re.escape(mark)}{_expression(mark)}*{re.escape(mark)}{_replacement(mark)}*{re.escape(mark)}[gpiI0-9]*"
    for mark in "/|#,@"
)
_SED_COMMAND = rf"(?:{_ADDRESS}(?:,(?:{_ADDRESS}|\+\d+))? ?!? ?)?(?:[pd=]|q|{_SUBSTITUTION})"
SED = re.compile(rf" *{_SED_COMMAND}(?: *; *{_SED_COMMAND})* *;? *")

_ITEM = r'(?:\$(?:\d+|NF|\(NF-\d+\))|NR|NF|FNR|"[^"\\]*")'
_PRINT = rf"\{{ *print(?: *{_ITEM}(?:(?: *, *| +){_ITEM})*)? *;? *\}}"
_COMPARISON = r'(?:(?:\$(?:\d+|NF)|NR|NF|FNR) *(?:==|!=|>=|<=|>|<|%) *(?:\d+(?:\.\d+)?|"[^"\\]*"))'
_MATCH = r"(?:(?:\$\d+ *!?~ *)?!?/(?:[^/\\\[]|\\.)+/)"
_CONDITION = rf"(?:{_COMPARISON}|{_MATCH})(?: *(?:&&|\|\|) *(?:{_COMPARISON}|{_MATCH}))*"
_SUM = r"\{ *(?P<name>sum|total|s|t|n|count) *\+= *\$\d+ *;? *\} *END *\{ *print (?P=name) *\}"
AWK = re.compile(rf" *(?:(?:{_CONDITION} *)?{_PRINT}|{_CONDITION}|{_SUM}) *")

PRINTF = re.compile(r"(?:[^%]|%%|%[-+ 0#]*\d*(?:\.\d+)?[sdiufgeExXcbq])*")
# `$ ENV` and `$__loc__`: the dollar sign and the name are two tokens of jq, so only the name is searched for.
JQ = re.compile(
    r"(?!.*(?:\benv\b|\bENV\b|\b(?:import|include|modulemeta|debug|stderr|input_filename|get_search_list)\b)).*"
)
DATE = re.compile(r"\+.*")
MODE = re.compile(r"[0-7]{3}|[ugoa]*[+=-][rwxX]+")
