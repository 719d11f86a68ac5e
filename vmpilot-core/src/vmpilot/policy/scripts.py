"""The few scripts of sed and awk, and formats of printf and date, that only print: patterns that fail closed.

Never in them: sed's `e`, `w`, `r` and their flags, awk's `system`, `getline`, pipes and redirections, printf's `%n`.
Brackets of a regular expression may not hold the delimiter, for not every sed reads that alike.
"""

from __future__ import annotations

import re

_ADDRESS = r"(?:\d+(?:~\d+)?|\$|/(?:[^/\\\[]|\\.|\[\^?\]?[^\]/]*\])+/I?)"
_MARKS = {"/": "/", "|": r"\|", "#": "#", ",": ",", "@": "@"}
_SUBSTITUTION = "|".join(
    rf"s{mark}(?:[^{sign}\\\[]|\\.|\[\^?\]?[^\]{sign}]*\])*{mark}(?:[^{sign}\\]|\\.)*{mark}[gpiI0-9]*"
    for sign, mark in _MARKS.items()
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
JQ = re.compile(r"(?!.*(?:\benv\b|\$ENV|\b(?:import|include|modulemeta|debug|stderr|input_filename)\b)).*")
DATE = re.compile(r"\+.*")
MODE = re.compile(r"[0-7]{3}|[ugoa]*[+=-][rwxX]+")
