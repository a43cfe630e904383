// The card with the usage by day: which days, what of them, the chart, and the table by model.

import { Failure } from "./api.js";
import { bar } from "./cards.js";
import { classOf, COLOURS, draw, looks, REST } from "./chart.js";
import { bounds, isRange, RANGES } from "./dates.js";
import { button, byId, choices, el, keepFocus, scrollTable } from "./dom.js";
import { loadDaily } from "./load.js";
import { state, today, writeAddress } from "./state.js";
import { bars, byModel, METRICS, ranked, total } from "./sums.js";
import { rankedTable, title } from "./table.js";
import { downloadCsv } from "./takeaway.js";
import { narrowed } from "./tokens.js";

// ── the card, its period and what it shows ────────────────────────────────────────────────────

export function dailyCard() {
  const { t } = state.i18n;
  const ranges = [...Object.keys(RANGES), "month", "custom"].map((range) => [range, t.ranges[range]]);
  return el(
    "section",
    { class: "card daily" },
    el("div", { class: "head" }, el("h2", {}, t.daily), choices(t.range, "range", ranges, state.period.range, pickRange)),
    customPeriod(),
    el(
      "div",
      { class: "head" },
      choices(t.shown, "metric", METRICS.map((metric) => [metric, t.metrics[metric]]), state.metric, pickMetric),
      el("p", { id: "zone", class: "zone" }),
    ),
    daysBox(),
  );
}

function pickRange(range) {
  if (range === "custom") {
    // From the days that are shown, so that the fields and the chart say the same.
    const { first, last } = bounds(state.period, today());
    [byId("from").value, byId("to").value] = [first, last];
    byId("custom").hidden = false;
    byId("from").focus();
    return;
  }
  byId("custom").hidden = true;
  setPeriod({ range });
}

function setPeriod(period) {
  state.period = period;
  writeAddress();
  loadDaily();
}

function pickMetric(metric) {
  state.metric = metric;
  showDaily();
}

function customPeriod() {
  const { t } = state.i18n;
  const { first, last } = bounds(state.period, today());
  const date = (id, name, value) =>
    el("label", {}, `${name} `, el("input", { type: "date", id, value, "aria-describedby": "custom-message" }));
  const apply = () => {
    const [from, to] = [byId("from").value, byId("to").value];
    const valid = isRange(from, to);
    byId("custom-message").textContent = valid ? "" : t.badRange;
    if (valid) setPeriod({ range: "custom", first: from, last: to });
  };
  return el(
    "div",
    { id: "custom", class: "custom", hidden: state.period.range !== "custom", onkeydown: (event) => event.key === "Enter" && apply() },
    date("from", t.from, first),
    date("to", t.to, last),
    button("apply", t.apply, apply, {}),
    el("p", { id: "custom-message", role: "alert" }),
  );
}

/** Whose days these are: the zone may be known only when the site has answered. */
function zoneNote() {
  const { t, zoneName } = state.i18n;
  return state.refusedZone ? t.zoneRefused(state.refusedZone) : t.zone(zoneName(state.zone));
}

// ── the days ──────────────────────────────────────────────────────────────────────────────────

/** Put what is known of the days now on the screen. */
export function showDaily() {
  if (byId("days")) {
    const isOpen = byId("by-day")?.open;
    keepFocus(() => byId("days").replaceWith(daysBox()));
    if (isOpen && byId("by-day")) byId("by-day").open = true;
  }
  if (byId("zone")) byId("zone").textContent = zoneNote();
}

function daysBox() {
  const { daily, i18n } = state;
  const { t } = i18n;
  const note = (text) => [el("p", { class: "note" }, text)];
  const content = () => {
    if (daily === null) return [el("div", { class: "skeleton" }, el("p", { role: "status" }, t.loading), el("div", { class: "chart" }))];
    if (daily instanceof Failure) return daily.kind === "usage_incomplete" ? progress(daily.details[0]) : noDays(daily);
    const isEmpty = daily.days.every(({ items }) => items.length === 0);
    return [...(isEmpty ? note(nothingUsed()) : chartAndTable(daily)), ...remarks(daily).flatMap(note)];
  };
  return el("div", { id: "days", "aria-busy": state.isReading }, narrowed(), ...content());
}

function nothingUsed() {
  const { t, moment } = state.i18n;
  const used = (state.tokens ?? []).filter(({ id }) => !state.token || id === state.token.id).map((token) => token.last_used_at ?? 0);
  const last = Math.max(0, state.who?.last_used_at ?? 0, ...used);
  return last ? t.nothingSince(moment(last)) : t.nothing;
}

/** What the days do not say by themselves. */
function remarks({ days, refunded, since, counted, readAt, stale }) {
  const { t, amount, moment, clock } = state.i18n;
  const isPartly = total(byModel(days.map(({ items }) => items)).values()).partly;
  return [
    ...(refunded > 0 ? [t.refunded(amount(refunded / 100))] : []),
    ...(since > 0 ? [t.logsSince(moment(since))] : []),
    ...(counted ? [] : [t.uncounted]),
    ...(isPartly ? [t.partly] : []),
    ...(stale ? [t.stale(clock(readAt), (t.errors[stale.kind] ?? t.errors.unexpected)[0])] : []),
  ];
}

/** The site reads its logs for the first time; the page asks again by itself. */
function progress(share) {
  const { t, percent } = state.i18n;
  return [el("p", { class: "note", role: "status" }, t.fillingNow(percent(share))), bar("progressbar", t.filling, share, percent(share))];
}

function noDays({ kind, details }) {
  const { noDaily, unaffected, errors, retry } = state.i18n.t;
  const reason = {
    unsupported_logs: noDaily.elsewhere,
    database: noDaily.slow,
    rate_limited: noDaily.rateLimited(details[0]),
    defect: noDaily.defect,
  }[kind];
  const text = reason ?? noDaily.other(kind === "unexpected" ? details[0] : (errors[kind] ?? errors.unexpected)[0]);
  const again = button("again", retry, () => loadDaily(), {});
  return [el("p", { class: "note reason" }, `${text} ${unaffected}`), ...(kind === "unsupported_logs" ? [] : [again])];
}

// ── the chart and its tables ──────────────────────────────────────────────────────────────────

/** The chart's series: the names with the most, and whether there are others. */
export function series(names) {
  const hasRest = names.length > COLOURS + 1;
  return { named: names.slice(0, hasRest ? COLOURS : COLOURS + 1), hasRest };
}

function chartAndTable(daily) {
  const { t, value, short, days: dayNames } = state.i18n;
  const { metric } = state;
  const models = byModel(daily.days.map(({ items }) => items));
  const { named, hasRest } = series(ranked(models.values(), metric).map(({ name }) => name));
  const look = looks(named);
  const places = new Map(named.map((name, place) => [name, place]));
  const all = bars(daily.days).map((each) => {
    const rows = byModel(each.lists);
    const values = new Array(named.length + hasRest).fill(0);
    for (const row of rows.values()) values[places.get(row.name) ?? named.length] += row[metric];
    return { ...each, rows, values, label: dayNames[each.unit](each.first), sum: total(rows.values()) };
  });
  const whole = total(models.values());

  const heading = el("p", { class: "reading" });
  const { node, show } = modelTable(models, look);
  const onPoint = (index) => {
    const { first, last, rows, sum } = all[index] ?? { first: all[0].first, last: all.at(-1).last, sum: whole };
    heading.replaceChildren(el("span", {}, dayNames.range(first, last)), el("strong", {}, value(metric, sum)));
    show(rows);
  };
  const describe = (index) => {
    const { first, last, rows, sum } = all[index];
    const parts = ranked(rows.values(), metric).slice(0, COLOURS).filter((row) => row[metric]);
    return [`${dayNames.range(first, last)}: ${value(metric, sum)}`, ...parts.map((row) => `${row.name || t.unnamed} ${value(metric, row)}`)].join("; ");
  };
  const chart = el("div", { class: "chart", id: "chart" });
  const seriesLooks = [...named.map((name) => look.get(name)), ...(hasRest ? [REST] : [])];
  draw(chart, all, seriesLooks, { short: (amount) => short(metric, amount), label: t.chart, onPoint, describe });
  const download = button("csv", t.csv, () => downloadCsv(daily), {});
  return [heading, chart, node, el("div", { class: "buttons" }, download), periodTable(all)];
}

function modelTable(models, look) {
  const { t, share, value } = state.i18n;
  const { metric } = state;
  const swatch = (name) => el("span", { class: `swatch ${classOf(look.get(name) ?? REST)}`, "aria-hidden": "true" });
  // Of what is positive: a refund is a line of its own.
  const shareOf = (row, of, positive) => {
    if (row === of && row[metric] !== positive) return t.dash;
    return row[metric] < 0 ? t.refund : positive > 0 ? share(row[metric] / positive) : t.dash;
  };
  const rows = [...models.values()].map((row) => ({ ...row, key: row.name, title: row.name || t.unnamed }));
  return rankedTable({
    id: "models",
    caption: t.byModel,
    metric,
    rows,
    columns: [
      { id: "title", label: t.model, cell: ({ name, title: text }) => el("span", { class: "model" }, swatch(name), el("span", {}, name == null ? text : title(name))) },
      { id: "cost", label: t.metrics.cost, text: (row) => value("cost", row) },
      { id: "share", label: t.share, sorts: false, text: shareOf },
      { id: "tokens", label: t.metrics.tokens, text: (row) => value("tokens", row) },
      { id: "requests", label: t.metrics.requests, text: (row) => value("requests", row) },
    ],
  });
}

/** What the chart shows, as a table. */
function periodTable(all) {
  const { t, value, days } = state.i18n;
  const rows = () =>
    all.map(({ first, last, sum }) => el("tr", {}, el("th", { scope: "row" }, days.range(first, last)), ...METRICS.map((metric) => el("td", {}, value(metric, sum)))));
  const details = el("details", { id: "by-day" }, el("summary", {}, t.byDay));
  const open = () => details.children.length > 1 || details.append(scrollTable(t.byDay, [t.day, ...METRICS.map((metric) => t.metrics[metric])], rows()));
  details.addEventListener("toggle", open);
  return details;
}
