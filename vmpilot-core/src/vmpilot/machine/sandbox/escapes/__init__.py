"""Ways out of a sandbox, tried from inside. A package that runs alone, too: the standard library only."""
