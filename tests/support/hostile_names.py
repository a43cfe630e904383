"""Names that users of a gateway may choose, and the CSV cells that they become."""

from __future__ import annotations

#: By name: its cell, where no spreadsheet computes and no terminal obeys.
CSV_CELLS = {
    "gpt-4o": "gpt-4o",
    "文心 4.5": "文心 4.5",
    "=1": "'=1",
    " =1": "' =1",
    "  +1": "'  +1",
    "-1": "'-1",
    "@SUM(1)": "'@SUM(1)",
    "＝1": "'＝1",
    "\n=1": "?=1",
    "\r\n=1": "??=1",
    "\t=1": "?=1",
    "\xa0=1": "?=1",
    "\u200b=1": "?=1",
    "a;=1": '"a;=1"',
    "a\t=1": "a?=1",
    'a",=1': '"a"",=1"',
    '=1;"': '"\'=1;"""',
    "two\nlines": "two?lines",
    "\x1b[31mred\x07": "?[31mred?",
    "\x9b31m\x7f": "?31m?",
    "\u202egnp\u2066": "?gnp?",
    "\U000e0041tag": "?tag",
}
