// The cards that show a failure, the balance and the credit grants.

import { UNLIMITED } from "./api.js";
import { el, scrollTable } from "./dom.js";
import { state, unitData } from "./state.js";

const DAY = 86400;

/** The failures that may be over at the next attempt; the others need another key or an operator. */
const RETRYABLE = ["database", "service", "offline", "broken", "unexpected", "rate_limited"];

export function failureCard(onRetry) {
  const { failure, i18n, retryAt } = state;
  const { kind, details } = failure;
  const [title, text] = i18n.t.errors[kind];
  const retryable = RETRYABLE.includes(kind);
  const retry = el("button", { type: "button", onclick: onRetry }, i18n.t.retry);
  if (kind === "rate_limited") {
    retry.disabled = true;
    // The time that is left: the card is drawn again when the language changes.
    setTimeout(() => (retry.disabled = false), retryAt - performance.now());
  }
  return el(
    "section",
    { class: `card message ${retryable ? "away" : "refused"}`, "data-kind": kind },
    el("span", { class: "sign", "aria-hidden": "true" }, retryable ? "↻" : "!"),
    el("div", {}, el("h2", {}, title), el("p", {}, typeof text === "function" ? text(...details) : text)),
    retryable ? retry : null,
  );
}

/** The key's state, as named in the texts, and a sign for those who cannot tell colours apart. */
function status({ until, unlimited, remaining }, now) {
  if (until && until <= now) return ["expired", "✕"];
  if (!unlimited && remaining <= 0) return ["exhausted", "∅"];
  if (until && until - now < 7 * DAY) return ["soon", "!"];
  return ["active", "✓"];
}

function expiry(until, now) {
  const { t, relative, moment } = state.i18n;
  if (!until) return [t.never, ""];
  const when = relative(until - now);
  return [until <= now ? t.ended(when) : t.expires(when), moment(until)];
}

export function overviewCard(onRefresh, onOtherKey) {
  const { t, amount, share } = state.i18n;
  const { caller, figures } = state;
  const { limit, used, remaining, until, unlimited } = figures;
  const now = Date.now() / 1000;
  const [name, sign] = status(figures, now);
  const [ends, date] = expiry(until, now);
  // Four characters of a short key would be too much of it.
  const ending = caller.key.length >= 16 ? t.keyEnding(caller.key.slice(-4)) : "";
  const fact = (term, value, more = "") =>
    el("div", {}, el("dt", {}, term), el("dd", {}, value, more ? el("small", {}, more) : null));
  return el(
    "section",
    { class: "card overview", "data-state": name },
    el(
      "div",
      { class: "top" },
      el("span", { class: `chip ${name}` }, el("span", { "aria-hidden": "true" }, sign), ` ${t[name]}`),
      el("span", { class: "ending" }, ending),
      el(
        "div",
        { class: "buttons" },
        el("button", { type: "button", class: "quiet", onclick: onRefresh }, t.refresh),
        el("button", { type: "button", class: "quiet", onclick: onOtherKey }, t.other),
      ),
    ),
    el(
      "h2",
      { id: "remaining", tabindex: "-1" },
      el("span", { class: "name" }, t.remaining),
      el("span", { class: "figure" }, unlimited ? t.unlimited : amount(remaining)),
      unitData.unit && !unlimited ? el("span", { class: "unit" }, t.units[unitData.unit]) : null,
    ),
    unlimited ? null : meter(used, limit, t.used),
    limitsNote(),
    el(
      "dl",
      { class: "facts" },
      fact(t.used, amount(used), unlimited || limit <= 0 ? "" : t.usedShare(share(used / limit))),
      fact(t.limit, unlimited ? t.unlimited : amount(limit)),
      fact(t.until, ends, date),
    ),
    unitData.unit ? null : el("p", { class: "note" }, t.unitUnknown),
  );
}

/** What a key and its account have left, if they differ. */
export function limitsNote() {
  const { limits } = state;
  const { t, amount } = state.i18n;
  if (!limits) return el("p", { id: "limits", hidden: true });
  const left = (value) => (value === UNLIMITED ? t.noLimit : t.left(amount(value)));
  const say = Math.min(limits.key, limits.account) > 0 ? t.refusedAbove : t.refusedNow;
  return el("p", { id: "limits", class: "warning", role: "status" }, say(left(limits.key), left(limits.account)));
}

function meter(used, limit, label) {
  const { t, amount } = state.i18n;
  const part = limit > 0 ? Math.min(Math.max(used / limit, 0), 1) : 1;
  const fill = el("div", { class: "fill", hidden: part === 0 });
  // Through the object model: the page's policy forbids style attributes.
  fill.style.width = `${part * 100}%`;
  return el(
    "div",
    {
      class: "bar",
      role: "meter",
      "aria-label": label,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      "aria-valuenow": Math.round(part * 100),
      "aria-valuetext": t.usedOf(amount(used), amount(limit)),
    },
    fill,
  );
}

function subscriptionItem({ plan, grant_amount: granted, used_amount: used, resets_at: resets }) {
  const { t, amount, moment } = state.i18n;
  const name = plan || t.kinds.subscription;
  return el(
    "li",
    {},
    el("strong", {}, name),
    meter(used, granted, name),
    el("small", {}, resets * 1000 > Date.now() ? t.resets(moment(resets)) : ""),
    el("p", {}, t.usedOf(amount(used), amount(granted))),
  );
}

/** Hidden while there are no grants: loaded later than the balance, they take this one's place. */
export function grantsCard() {
  const { grants } = state;
  const { t, amount, moment } = state.i18n;
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
  const table = scrollTable(t.grants, [t.grant, t.amount, t.used, t.since, t.until], rows);
  const bars = grants.filter(({ source }) => source === "subscription").map(subscriptionItem);
  const list = bars.length ? el("ul", { class: "subscriptions" }, ...bars) : null;
  return el("section", { class: "card", id: "grants" }, el("h2", {}, t.grants), list, table);
}
