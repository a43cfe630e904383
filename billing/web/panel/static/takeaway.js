// What one takes along: the days that are shown as a CSV file, and a summary in plain text without a key.

import { byId, el } from "./dom.js";
import { usedAmount, whose } from "./overview.js";
import { periods } from "./recent.js";
import { state, today, unitData } from "./state.js";
import { sumOf } from "./sums.js";

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

/** Lines of `name: value` below whose they are. */
export function summary() {
  const { t, amount, moment } = state.i18n;
  const { figures, recent, readAt, who } = state;
  const { limit, remaining, until, unlimited } = figures;
  const sums = recent ? periods(today()).map(([name, first, last]) => [t.periods[name], sumOf(recent.days, first, last)]) : [];
  const lines = [
    // Before its name is known a key has no line: its end is a part of it.
    ...(who ? [[whose().replace(/ \(….{4}\)/, "")]] : []),
    [t.remaining, unlimited ? t.unlimited : amount(remaining)],
    [t.used, usedAmount(figures)],
    [t.limit, unlimited ? t.unlimited : amount(limit)],
    [t.until, until ? moment(until) : t.never],
    ...sums.filter(([, sum]) => sum).map(([name, sum]) => [name, amount(sum.cost)]),
    [t.asOf(moment(readAt / 1000))],
  ];
  return lines.map((line) => line.join(": ")).join("\n");
}

export async function copySummary() {
  const { t } = state.i18n;
  const text = summary();
  const isCopied = await navigator.clipboard?.writeText(text).then(() => true, () => false);
  byId("copy").textContent = isCopied || copyBySelection(text) ? t.copied : t.notCopied;
  byId("copy").focus();
}

/** Browsers give pages without HTTPS no clipboard. */
function copyBySelection(text) {
  const area = el("textarea", { readonly: "" });
  area.value = text;
  document.body.append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
  }
}
