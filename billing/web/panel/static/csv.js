// The CSV file of the days that are shown.

import { el } from "./dom.js";
import { unitData } from "./state.js";

/**
 * A cell of a CSV file that no spreadsheet computes or splits, whatever its separator, and no terminal
 * obeys. The rule is that of `csv_cell` in billing/cli/output.py.
 */
export function csvCell(value) {
  if (typeof value !== "string") return String(value ?? "");
  const printable = value.replace(/(?! )[\p{C}\p{Z}]/gu, "?");
  const text = /^ *[=+\-@＝＋－＠]/.test(printable) ? `'${printable}` : printable;
  return /[",;]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** As `flask usage show --csv`: UTF-8 with a BOM, and CRLF. Tokens that are not known are empty. */
export function csvText(days, unit) {
  const rows = days.flatMap(({ date, items }) =>
    items.map((item) => [
      ...[date, item.name, Number((item.cost / 100).toPrecision(15))],
      ...[item.prompt_tokens, item.completion_tokens, item.requests],
    ]),
  );
  const header = ["day", "model", unit ? `cost (${unit})` : "cost", "prompt_tokens", "completion_tokens", "requests"];
  return `\ufeff${[header, ...rows].map((row) => `${row.map(csvCell).join(",")}\r\n`).join("")}`;
}

export function downloadCsv({ days, first, last }) {
  const url = URL.createObjectURL(new Blob([csvText(days, unitData.unit)], { type: "text/csv" }));
  el("a", { href: url, download: `usage-${first}-${last}.csv` }).click();
  URL.revokeObjectURL(url);
}
