// The page: takes a key, asks this site's own routes, shows the answers or why there are none.
// The key lives in `caller`, in sessionStorage if its owner ticks the box, and nowhere else.

import { draw } from "./chart.js";
import { firstLanguage, wording } from "./text.js";

/** What clients of these routes take for "unlimited". */
const UNLIMITED = 100000000;
const DAY = 86400;
const STORE = "billing-panel";
const SERIES = 6;

const money = document.documentElement.dataset;
const byId = (id) => document.getElementById(id);
const [form, told, shown] = [byId("ask"), byId("told"), byId("shown")];

let words = wording(firstLanguage(), money);
let caller = null;
/** Counts loads, so that a late answer to an earlier question is dropped. */
let turn = 0;
let figures = null;
let failure = null;
/** When the failure "rate_limited" may be tried again, on the clock of performance.now(). */
let retryAt = 0;
let grants = [];
/** The days shown: which choice, from when to before when, and their costs or why there are none. */
let period = { choice: "30" };
let daily = null;

/** An element. Text goes in as text: no answer can become markup. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

// ── asking ────────────────────────────────────────────────────────────────────────────────────

class Failure extends Error {
  constructor(kind, ...details) {
    super(kind);
    Object.assign(this, { kind, details });
  }
}

/** One answer of the routes beside this file's folder. Throws a Failure. */
async function ask(what) {
  // Built outside `try`: only what the network does is a failure, an error in here is a defect.
  const request = new Request(new URL(`../${what}`, import.meta.url), {
    headers: {
      Authorization: `Bearer ${caller.key}`,
      "Accept-Language": words.locale,
      ...(caller.user ? { "New-Api-User": caller.user } : {}),
    },
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    signal: AbortSignal.timeout(20000),
  });
  let response;
  try {
    response = await fetch(request);
  } catch {
    throw new Failure(navigator.onLine ? "service" : "offline");
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body?.object) return body;
  throw refusal(response, body?.error);
}

function refusal(response, error) {
  const { status } = response;
  if (status === 429) return new Failure("rate_limited", Math.ceil(response.headers.get("Retry-After")) || 10);
  if (error?.code === "user_mismatch" && !caller.user) return new Failure("noUser");
  if (status !== 404 && Object.hasOwn(words.t.errors, error?.code ?? "")) return new Failure(error.code);
  const kind = { 500: "broken", 502: "service", 503: "database", 504: "service" }[status] ?? "unexpected";
  return new Failure(kind, status, typeof error?.message === "string" ? error.message : "");
}

function busy(is) {
  document.querySelector("main").setAttribute("aria-busy", is);
  form.querySelector("[type=submit]").disabled = is;
}

async function load() {
  const mine = ++turn;
  busy(true);
  let answers = null;
  let problem = null;
  try {
    answers = await Promise.all([ask("subscription"), ask("usage")]);
    answers = figuresOf(...answers);
  } catch (error) {
    problem = error;
  }
  if (mine !== turn) return;
  busy(false);
  if (problem) {
    failed(problem);
    return;
  }
  [figures, failure, grants] = [answers, null, []];
  byId("key").value = "";
  remember();
  render();
  byId("remaining").focus();
  loadDaily();
  loadGrants(mine);
}

/** Throws a Failure rather than take a missing figure for 0. */
function figuresOf(subscription, usage) {
  const [limit, used, until] = [subscription.hard_limit_usd, usage.total_usage / 100, subscription.access_until];
  if (![limit, usage.total_usage, until].every(Number.isFinite)) throw new Failure("unexpected", 200, "");
  const rest = limit - used;
  // What subtracting doubles leaves over is nothing.
  const remaining = Math.abs(rest) < 1e-12 * Math.max(Math.abs(limit), Math.abs(used)) ? 0 : rest;
  return { limit, used, remaining, until, unlimited: limit === UNLIMITED };
}

function failed(problem) {
  if (!(problem instanceof Failure)) throw problem;
  [figures, failure] = [null, problem];
  retryAt = performance.now() + problem.details[0] * 1000;
  if (["invalid_api_key", "api_key_disabled", "user_mismatch", "noUser", "user_disabled"].includes(problem.kind)) forget();
  render();
}

async function loadGrants(mine) {
  // A key's one grant repeats the figures above; without an answer there is nothing to add.
  const body = await ask("credit_grants").catch((error) => {
    if (!(error instanceof Failure)) throw error;
  });
  const data = body?.grants?.data ?? [];
  if (mine !== turn || !data.some(({ id }) => !/^(token|account)-/.test(id))) return;
  grants = data;
  byId("grants").replaceWith(grantsCard());
}

async function loadDaily() {
  const mine = turn;
  const asked = { ...period, ...bounds(period) };
  period = asked;
  daily = null;
  byId("days").setAttribute("aria-busy", true);
  const dates = `start_date=${iso(asked.start)}&end_date=${iso(asked.end)}`;
  let answer;
  let defect = null;
  try {
    const { daily_costs: costs } = await ask(`usage?include=daily_costs&${dates}`);
    answer = Array.isArray(costs) ? { costs } : { failure: new Failure("unexpected", 200, "") };
  } catch (error) {
    if (!(error instanceof Failure)) defect = error;
    answer = { failure: defect ? new Failure("defect") : error };
  }
  if (mine === turn && period === asked) {
    daily = answer;
    byId("days").replaceWith(daysBox());
  }
  // The console has to show an error of this page.
  if (defect) throw defect;
}

const iso = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);
const today = () => Math.floor(Date.now() / 1000 / DAY) * DAY;

/** The period's UTC midnights, the end exclusive. */
function bounds({ choice, start, end }) {
  const tomorrow = today() + DAY;
  if (choice === "custom") return { start, end };
  if (choice === "month") return { start: Date.parse(`${iso(today()).slice(0, 7)}-01`) / 1000, end: tomorrow };
  return { start: tomorrow - choice * DAY, end: tomorrow };
}

// ── remembering ───────────────────────────────────────────────────────────────────────────────

// A browser may refuse storage altogether: then nothing is remembered, which is no error.
function remember() {
  try {
    if (byId("remember").checked) sessionStorage.setItem(STORE, JSON.stringify(caller));
    else sessionStorage.removeItem(STORE);
  } catch {}
}

function forget() {
  try {
    sessionStorage.removeItem(STORE);
  } catch {}
}

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(STORE));
  } catch {
    return null;
  }
}

// ── showing ───────────────────────────────────────────────────────────────────────────────────

function render() {
  const { t } = words;
  document.documentElement.lang = words.locale;
  document.title = t.title;
  byId("language").textContent = t.language;
  byId("language").lang = t.title === "余额与用量" ? "en" : "zh-CN";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t[node.dataset.t];
  form.hidden = figures !== null;
  told.replaceChildren(...(failure ? [failureCard()] : []));
  shown.replaceChildren(...(figures ? [overview(), dailyCard(), grantsCard()] : []));
  byId("page").hidden = false;
}

function failureCard() {
  const { kind, details } = failure;
  const [title, text] = words.t.errors[kind];
  const again = ["database", "service", "offline", "broken", "unexpected", "rate_limited"].includes(kind);
  const retry = el("button", { type: "button", onclick: () => (byId("key").value ? form.requestSubmit() : load()) }, words.t.retry);
  if (kind === "rate_limited") {
    retry.disabled = true;
    setTimeout(() => (retry.disabled = false), retryAt - performance.now());
  }
  return el(
    "section",
    { class: `card told ${again ? "away" : "refused"}`, "data-kind": kind },
    el("span", { class: "sign", "aria-hidden": "true" }, again ? "↻" : "!"),
    el("div", {}, el("h2", {}, title), el("p", {}, typeof text === "function" ? text(...details) : text)),
    again ? retry : null,
  );
}

function status(now) {
  if (figures.until && figures.until <= now) return ["expired", "✕"];
  if (!figures.unlimited && figures.remaining <= 0) return ["exhausted", "∅"];
  if (figures.until && figures.until - now < 7 * DAY) return ["soon", "!"];
  return ["active", "✓"];
}

function expiry(now) {
  const { until } = figures;
  if (!until) return [words.t.never, ""];
  const when = words.relative(until - now);
  return [until <= now ? words.t.ended(when) : words.t.expires(when), words.moment(until)];
}

function overview() {
  const { t, amount } = words;
  const { limit, used, remaining, unlimited } = figures;
  const now = Date.now() / 1000;
  const [state, sign] = status(now);
  const [ends, date] = expiry(now);
  const tail = caller.key.length >= 16 ? t.ends(caller.key.slice(-4)) : "";
  const share = limit > 0 ? Math.min(Math.max(used / limit, 0), 1) : 1;
  const fact = (name, value, more = "") =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value, more ? el("small", {}, more) : null));
  const fill = el("div", { class: "fill", hidden: share === 0 });
  // Through the object model: a style attribute is what the page's policy forbids.
  fill.style.width = `${share * 100}%`;
  return el(
    "section",
    { class: "card overview", "data-state": state },
    el(
      "div",
      { class: "top" },
      el("span", { class: `chip ${state}` }, el("span", { "aria-hidden": "true" }, sign), ` ${t[state]}`),
      el("span", { class: "who" }, tail),
      el(
        "div",
        { class: "ways" },
        el("button", { type: "button", class: "quiet", onclick: load }, t.refresh),
        el("button", { type: "button", class: "quiet", onclick: startOver }, t.other),
      ),
    ),
    el(
      "h2",
      { id: "remaining", tabindex: "-1" },
      el("span", { class: "name" }, t.remaining),
      el("span", { class: "figure" }, unlimited ? t.unlimited : amount(remaining)),
      money.unit && !unlimited ? el("span", { class: "unit" }, t.units[money.unit]) : null,
    ),
    unlimited
      ? null
      : el(
          "div",
          {
            class: "bar",
            role: "meter",
            "aria-label": t.used,
            "aria-valuemin": 0,
            "aria-valuemax": 100,
            "aria-valuenow": Math.round(share * 100),
            "aria-valuetext": t.usedOf(amount(used), amount(limit)),
          },
          fill,
        ),
    el(
      "dl",
      { class: "facts" },
      fact(t.used, amount(used), unlimited || limit <= 0 ? "" : t.usedShare(words.share(used / limit))),
      fact(t.limit, unlimited ? t.unlimited : amount(limit)),
      fact(t.until, ends, date),
    ),
    money.unit ? null : el("p", { class: "note" }, t.unitUnknown),
  );
}

function startOver() {
  forget();
  busy(false);
  turn += 1;
  [caller, figures, failure, daily, grants] = [null, null, null, null, []];
  for (const id of ["key", "user"]) byId(id).value = "";
  byId("remember").checked = false;
  render();
  byId("key").focus();
}

// ── day by day ────────────────────────────────────────────────────────────────────────────────

function dailyCard() {
  const { t } = words;
  const radio = ([choice, name]) =>
    el(
      "label",
      {},
      el("input", { type: "radio", name: "range", value: choice, checked: choice === period.choice, onchange: () => choose(choice) }),
      el("span", {}, name),
    );
  const order = ["7", "30", "90", "month", "custom"];
  return el(
    "section",
    { class: "card daily" },
    el(
      "div",
      { class: "head" },
      el("h2", {}, t.daily),
      el("fieldset", { class: "ranges" }, el("legend", {}, t.range), ...order.map((choice) => radio([choice, t.ranges[choice]]))),
    ),
    custom(),
    daysBox(),
  );
}

function choose(choice) {
  period = { ...period, choice };
  byId("custom").hidden = choice !== "custom";
  if (choice === "custom") byId("from").focus();
  else loadDaily();
}

function custom() {
  const { t } = words;
  const { start, end } = bounds({ choice: "30", ...(period.start ? period : {}) });
  const date = (id, name, value) => el("label", {}, `${name} `, el("input", { type: "date", id, value: iso(value), "aria-describedby": "custom-told" }));
  const apply = () => {
    const [first, last] = ["from", "to"].map((id) => Date.parse(byId(id).value) / 1000);
    const bad = !(last >= first && last + DAY - first <= 366 * DAY);
    byId("custom-told").textContent = bad ? t.badRange : "";
    if (bad) return;
    period = { choice: "custom", start: first, end: last + DAY };
    loadDaily();
  };
  const enter = (event) => event.key === "Enter" && apply();
  return el(
    "div",
    { id: "custom", class: "custom", hidden: period.choice !== "custom", onkeydown: enter },
    date("from", t.from, start),
    date("to", t.to, end - DAY),
    el("button", { type: "button", id: "apply", onclick: apply }, t.apply),
    el("p", { id: "custom-told", role: "alert" }),
  );
}

function daysBox() {
  const { t } = words;
  const box = el("div", { id: "days", "aria-busy": daily === null });
  if (daily === null) box.append(el("p", { class: "note" }, t.loading));
  else if (daily.failure) box.append(...noDays(daily.failure));
  else if (daily.costs.every(({ line_items: items }) => items.length === 0)) box.append(el("p", { class: "note" }, t.nothing));
  else box.append(...days(daily.costs));
  return box;
}

function noDays({ kind, details }) {
  const { noDaily, errors, retry } = words.t;
  const why = {
    broken: noDaily.elsewhere,
    database: noDaily.slow,
    defect: noDaily.defect,
    rate_limited: noDaily.busy(details[0]),
  }[kind];
  const text = why ?? noDaily.other(kind === "unexpected" ? details[0] : errors[kind][0]);
  const again = el("button", { type: "button", onclick: loadDaily }, retry);
  return [el("p", { class: "note why" }, text), ...(kind === "broken" ? [] : [again])];
}

function totals(costs) {
  const sums = new Map();
  for (const { line_items: items } of costs) {
    for (const { name, cost } of items) sums.set(name, (sums.get(name) ?? 0) + cost / 100);
  }
  return [...sums].sort(([one, a], [other, b]) => b - a || one.localeCompare(other));
}

function days(costs) {
  const { t, amount, day } = words;
  const models = totals(costs);
  const title = (name) => name || t.unnamed;
  // One colour for each of the dearest; the rest share the last.
  const own = models.slice(0, models.length > SERIES + 1 ? SERIES : SERIES + 1).map(([name]) => name);
  const names = own.length < models.length ? [...own.map(title), t.rest] : own.map(title);
  const spread = (items) => {
    const row = names.map(() => 0);
    for (const { name, cost } of items) {
      const place = own.indexOf(name);
      row[place < 0 ? own.length : place] += cost / 100;
    }
    return row;
  };
  const bars = costs.map(({ timestamp, line_items: items }) => ({ timestamp, costs: spread(items) }));
  const all = names.map((_, place) => bars.reduce((sum, bar) => sum + bar.costs[place], 0));
  const sum = (row) => row.reduce((one, other) => one + other, 0);

  const range = costs.length > 1 ? `${day(costs[0].timestamp)} – ${day(costs.at(-1).timestamp)}` : day(costs[0].timestamp);
  const heading = el("p", { class: "reading" });
  const values = names.map(() => el("span", { class: "value" }));
  const legend = el(
    "ul",
    { class: "legend" },
    ...names.map((name, place) => el("li", {}, el("span", { class: `swatch s${place}`, "aria-hidden": "true" }), el("span", { class: "model" }, name), values[place])),
  );
  const read = (index) => {
    const row = index === null ? all : bars[index].costs;
    heading.replaceChildren(el("span", {}, index === null ? range : day(bars[index].timestamp)), el("strong", {}, amount(sum(row))));
    values.forEach((value, place) => (value.textContent = row[place] ? amount(row[place]) : t.dash));
  };
  const say = (index) => {
    const { timestamp, costs: row } = bars[index];
    const parts = names.flatMap((name, place) => (row[place] ? [`${name} ${amount(row[place])}`] : []));
    return [`${day(timestamp)}: ${amount(sum(row))}`, ...parts].join("; ");
  };
  const chart = el("div", { class: "chart", id: "chart" });
  draw(chart, bars, { amount, shortDay: words.shortDay, label: t.chart, read, say });
  return [heading, chart, legend, table(models, title), el("button", { type: "button", id: "csv", onclick: () => download(costs) }, t.csv)];
}

function table(models, title) {
  const { t, amount } = words;
  const total = models.reduce((sum, [, cost]) => sum + cost, 0);
  const part = (cost) => (total > 0 && cost >= 0 ? words.share(cost / total) : t.dash);
  const row = (kind, name, cost) => el("tr", {}, el(kind, { scope: kind === "th" && "row" }, name), el("td", {}, amount(cost)), el("td", {}, part(cost)));
  return grid(
    t.byModel,
    [t.model, t.cost, t.share],
    models.map(([name, cost]) => row("th", title(name), cost)),
    row("th", t.total, total),
  );
}

const grid = (caption, names, rows, foot) =>
  el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el(
      "table",
      {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...rows),
      foot ? el("tfoot", {}, foot) : null,
    ),
  );

/** As `flask usage show --csv`: UTF-8 with a BOM, CRLF, and no cell that a spreadsheet computes. */
function download(costs) {
  const cell = (value) => {
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const rows = costs.flatMap(({ timestamp, line_items: items }) =>
    items.map((item) => [iso(timestamp), item.name, Number((item.cost / 100).toPrecision(15))]),
  );
  const text = [["day", "model", money.unit ? `cost (${money.unit})` : "cost"], ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
  const url = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
  el("a", { href: url, download: `usage-${iso(period.start)}-${iso(period.end - DAY)}.csv` }).click();
  URL.revokeObjectURL(url);
}

function grantsCard() {
  const { t, amount, moment } = words;
  if (!grants.length) return el("div", { id: "grants", hidden: true });
  const when = (seconds, none) => (seconds ? moment(seconds) : none);
  const rows = grants.map(({ id, grant_amount: granted, used_amount: used, effective_at: since, expires_at: until }) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, t.kinds[id.split("-")[0]] ?? id),
      el("td", {}, granted === UNLIMITED ? t.unlimited : amount(granted)),
      el("td", {}, amount(used)),
      el("td", {}, when(since, t.dash)),
      el("td", {}, when(until, t.never)),
    ),
  );
  return el("section", { class: "card", id: "grants" }, el("h2", {}, t.grants), grid(t.grants, [t.grant, t.amount, t.used, t.since, t.until], rows));
}

// ── starting ──────────────────────────────────────────────────────────────────────────────────

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const key = byId("key").value.trim().replace(/^Bearer\s+/i, "");
  const user = byId("user").value.trim();
  // What no header can carry must not reach fetch, which would call it a network error.
  if (!key) failed(new Failure("empty"));
  else if (!/^[!-~]+$/.test(key)) failed(new Failure("malformed"));
  else if (!/^[0-9]*$/.test(user)) failed(new Failure("badUser"));
  else {
    caller = { key, user };
    load();
  }
});

byId("language").addEventListener("click", () => {
  words = wording(words.locale === "zh-CN" ? "en" : "zh", money);
  render();
});

render();
caller = remembered();
if (caller) {
  byId("remember").checked = true;
  byId("user").value = caller.user;
  load();
} else byId("key").focus();
