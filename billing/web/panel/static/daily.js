// The card with the usage by day: its period, its chart, its table by model and its CSV file.

import { Failure, fetchDailyCosts } from "./api.js";
import { draw } from "./chart.js";
import { byId, el, scrollTable } from "./dom.js";
import { state, unitData } from "./state.js";

const DAY = 86400;
const MAX_DAYS = 366;
/** How many models have a colour of their own when there are more models than colours. */
const COLOURS = 6;
/** How many models have a row of their own: a browser stalls at a hundred thousand rows. */
const MAX_ROWS = 300;
/** `localeCompare` of many names takes a hundred times as long. */
const byName = new Intl.Collator().compare;
const CHOICES = ["7", "30", "90", "month", "custom"];

const isoDate = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);

/** The period's UTC midnights in unix seconds, the end exclusive. */
export function bounds({ choice, start, end }, now = Date.now() / 1000) {
  const today = Math.floor(now / DAY) * DAY;
  const tomorrow = today + DAY;
  if (choice === "custom") return { start, end };
  if (choice === "month") return { start: Date.parse(`${isoDate(today).slice(0, 7)}-01`) / 1000, end: tomorrow };
  return { start: tomorrow - choice * DAY, end: tomorrow };
}

// ── loading ───────────────────────────────────────────────────────────────────────────────────

/** Load the days of `state.period` and show them, or why there are none. */
export async function loadDaily() {
  const startedAs = state.generation;
  const period = { ...state.period, ...bounds(state.period) };
  state.period = period;
  state.daily = null;
  byId("days").setAttribute("aria-busy", true);
  const show = (daily) => {
    if (startedAs !== state.generation || state.period !== period) return;
    state.daily = daily;
    byId("days").replaceWith(daysBox());
  };
  try {
    show(await fetchDailyCosts(state.caller, state.i18n.locale, isoDate(period.start), isoDate(period.end)));
  } catch (error) {
    // A defect of this page, for a Failure is returned. Thrown on, so that the browser reports it.
    show(new Failure("defect"));
    throw error;
  }
}

// ── the card and its period ───────────────────────────────────────────────────────────────────

export function dailyCard() {
  const { t } = state.i18n;
  const radio = (choice) =>
    el(
      "label",
      {},
      el("input", { type: "radio", name: "range", value: choice, checked: choice === state.period.choice, onchange: () => choose(choice) }),
      el("span", {}, t.ranges[choice]),
    );
  return el(
    "section",
    { class: "card daily" },
    el(
      "div",
      { class: "head" },
      el("h2", {}, t.daily),
      el("fieldset", { class: "ranges" }, el("legend", {}, t.range), ...CHOICES.map(radio)),
    ),
    customPeriod(),
    daysBox(),
  );
}

function choose(choice) {
  state.period = { ...state.period, choice };
  byId("custom").hidden = choice !== "custom";
  if (choice === "custom") byId("from").focus();
  else loadDaily();
}

function customPeriod() {
  const { t } = state.i18n;
  const { start, end } = bounds({ choice: "30", ...(state.period.start ? state.period : {}) });
  const date = (id, name, value) =>
    el("label", {}, `${name} `, el("input", { type: "date", id, value: isoDate(value), "aria-describedby": "custom-message" }));
  const apply = () => {
    const [first, last] = ["from", "to"].map((id) => Date.parse(byId(id).value) / 1000);
    // An empty field is NaN, which no comparison accepts.
    const valid = last >= first && last + DAY - first <= MAX_DAYS * DAY;
    byId("custom-message").textContent = valid ? "" : t.badRange;
    if (!valid) return;
    state.period = { choice: "custom", start: first, end: last + DAY };
    loadDaily();
  };
  return el(
    "div",
    { id: "custom", class: "custom", hidden: state.period.choice !== "custom", onkeydown: (event) => event.key === "Enter" && apply() },
    date("from", t.from, start),
    date("to", t.to, end - DAY),
    el("button", { type: "button", id: "apply", onclick: apply }, t.apply),
    el("p", { id: "custom-message", role: "alert" }),
  );
}

// ── the days ──────────────────────────────────────────────────────────────────────────────────

function daysBox() {
  const { daily, i18n } = state;
  const note = (text) => [el("p", { class: "note" }, text)];
  const content = () => {
    if (daily === null) return note(i18n.t.loading);
    if (daily instanceof Failure) return noDays(daily);
    const isEmpty = daily.days.every(({ line_items: items }) => items.length === 0);
    return [...(isEmpty ? note(i18n.t.nothing) : chartAndTable(daily.days)), ...remarks(daily).flatMap(note)];
  };
  return el("div", { id: "days", "aria-busy": daily === null }, ...content());
}

/** What the days do not say by themselves. */
function remarks({ refunded, since, counted }) {
  const { t, amount, moment } = state.i18n;
  return [
    ...(refunded > 0 ? [t.refunded(amount(refunded / 100))] : []),
    ...(since > 0 ? [t.logsSince(moment(since))] : []),
    ...(counted ? [] : [t.uncounted]),
  ];
}

function noDays({ kind, details }) {
  const { noDaily, errors, retry } = state.i18n.t;
  const reason = {
    broken: noDaily.elsewhere,
    database: noDaily.slow,
    rate_limited: noDaily.rateLimited(details[0]),
    defect: noDaily.defect,
  }[kind];
  const text = reason ?? noDaily.other(kind === "unexpected" ? details[0] : errors[kind][0]);
  const again = el("button", { type: "button", onclick: loadDaily }, retry);
  return [el("p", { class: "note reason" }, text), ...(kind === "broken" ? [] : [again])];
}

/** [model, cost] of all days together, the highest cost first. The routes count in cents. */
export function totals(days) {
  const sums = new Map();
  for (const { line_items: items } of days) {
    for (const { name, cost } of items) sums.set(name, (sums.get(name) ?? 0) + cost / 100);
  }
  return [...sums].sort(([one, a], [other, b]) => b - a || byName(one, other));
}

/** The chart's series: `names` of the models with the highest costs, and of the others if `hasRest`. */
export function series(models) {
  const hasRest = models.length > COLOURS + 1;
  return { names: models.slice(0, hasRest ? COLOURS : COLOURS + 1).map(([name]) => name), hasRest };
}

function chartAndTable(days) {
  const { t, amount, day } = state.i18n;
  const models = totals(days);
  const title = (name) => name || t.unnamed;
  const { names, hasRest } = series(models);
  const labels = [...names.map(title), ...(hasRest ? [t.rest] : [])];
  const costsBySeries = (items) => {
    const row = labels.map(() => 0);
    for (const { name, cost } of items) {
      const place = names.indexOf(name);
      row[place < 0 ? names.length : place] += cost / 100;
    }
    return row;
  };
  const bars = days.map(({ timestamp, line_items: items }) => ({ timestamp, costs: costsBySeries(items) }));
  const sum = (row) => row.reduce((one, other) => one + other, 0);
  const wholePeriod = labels.map((_, place) => sum(bars.map(({ costs }) => costs[place])));
  const [first, last] = [days[0].timestamp, days.at(-1).timestamp].map(day);

  const heading = el("p", { class: "reading" });
  const values = labels.map(() => el("span", { class: "value" }));
  const legend = el(
    "ul",
    { class: "legend" },
    ...labels.map((label, place) =>
      el("li", {}, el("span", { class: `swatch s${place}`, "aria-hidden": "true" }), el("span", { class: "model" }, label), values[place]),
    ),
  );
  const onPoint = (index) => {
    const row = index === null ? wholePeriod : bars[index].costs;
    const when = index === null ? (days.length > 1 ? `${first} – ${last}` : first) : day(bars[index].timestamp);
    heading.replaceChildren(el("span", {}, when), el("strong", {}, amount(sum(row))));
    values.forEach((value, place) => (value.textContent = row[place] ? amount(row[place]) : t.dash));
  };
  const describe = (index) => {
    const { timestamp, costs } = bars[index];
    const parts = labels.flatMap((label, place) => (costs[place] ? [`${label} ${amount(costs[place])}`] : []));
    return [`${day(timestamp)}: ${amount(sum(costs))}`, ...parts].join("; ");
  };
  const chart = el("div", { class: "chart", id: "chart" });
  draw(chart, bars, { amount, shortDay: state.i18n.shortDay, label: t.chart, onPoint, describe });
  const download = el("button", { type: "button", id: "csv", onclick: () => downloadCsv(days) }, t.csv);
  return [heading, chart, legend, modelTable(models, title), download];
}

function modelTable(models, title) {
  const { t, amount, share } = state.i18n;
  const sum = (some) => some.reduce((all, [, cost]) => all + cost, 0);
  const total = sum(models);
  const hasRest = models.length > MAX_ROWS + 1;
  const named = models.slice(0, hasRest ? MAX_ROWS : MAX_ROWS + 1);
  const part = (cost) => (total > 0 && cost >= 0 ? share(cost / total) : t.dash);
  const row = (name, cost) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, amount(cost)), el("td", {}, part(cost)));
  return scrollTable(
    t.byModel,
    [t.model, t.cost, t.share],
    [...named.map(([name, cost]) => row(title(name), cost)), ...(hasRest ? [row(t.rest, sum(models.slice(MAX_ROWS)))] : [])],
    row(t.total, total),
  );
}

// ── the CSV file ──────────────────────────────────────────────────────────────────────────────

/**
 * A cell of a CSV file that no spreadsheet computes or splits, whatever its separator, and no terminal
 * obeys. The rule is that of `csv_cell` in billing/cli/output.py.
 */
export function csvCell(value) {
  if (typeof value !== "string") return String(value);
  const printable = value.replace(/(?! )[\p{C}\p{Z}]/gu, "?");
  const text = /^ *[=+\-@＝＋－＠]/.test(printable) ? `'${printable}` : printable;
  return /[",;]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** As `flask usage show --csv`: UTF-8 with a BOM, and CRLF. */
export function csvText(days, unit) {
  const rows = days.flatMap(({ timestamp, line_items: items }) =>
    items.map(({ name, cost }) => [isoDate(timestamp), name, Number((cost / 100).toPrecision(15))]),
  );
  const header = ["day", "model", unit ? `cost (${unit})` : "cost"];
  return `\ufeff${[header, ...rows].map((row) => `${row.map(csvCell).join(",")}\r\n`).join("")}`;
}

function downloadCsv(days) {
  const { start, end } = state.period;
  const url = URL.createObjectURL(new Blob([csvText(days, unitData.unit)], { type: "text/csv" }));
  el("a", { href: url, download: `usage-${isoDate(start)}-${isoDate(end - DAY)}.csv` }).click();
  URL.revokeObjectURL(url);
}
