// What was used of late: today, in 7 days and this month, beside what was before; and how long the rest lasts.

import { addDays, countDays, monthStart } from "./dates.js";
import { byId, el } from "./dom.js";
import { state, today } from "./state.js";
import { sumOf } from "./sums.js";

/** Fewer days with use than these are no pace. */
const ENOUGH_DAYS = 3;

/** The first day that any of this asks for. */
export const recentStart = (now) => {
  const [weeks, month] = [addDays(now, -13), monthStart(addDays(monthStart(now), -1))];
  return weeks < month ? weeks : month;
};

/** The periods as [name, first, last, first and last of what came before]. */
export function periods(now) {
  const start = monthStart(now);
  const before = monthStart(addDays(start, -1));
  const sameDay = addDays(before, countDays(start, now) - 1);
  return [
    ["today", now, now, addDays(now, -1), addDays(now, -1)],
    ["week", addDays(now, -6), now, addDays(now, -13), addDays(now, -7)],
    ["month", start, now, before, sameDay < start ? sameDay : addDays(start, -1)],
  ];
}

/** How many days `remaining` lasts at the pace of the last 7; null where that would be a guess. */
export function daysLeft(days, now, remaining) {
  const first = addDays(now, -6);
  const week = sumOf(days, first, now);
  const used = days.filter(({ date, items }) => date >= first && date <= now && items.some(({ cost }) => cost > 0));
  if (!week || week.cost <= 0 || used.length < ENOUGH_DAYS || remaining <= 0) return null;
  return (remaining / week.cost) * 7;
}

function lasts() {
  const { t, count } = state.i18n;
  const { figures, limits, who, recent } = state;
  const { unlimited, remaining, until } = figures;
  // Others spend from an account too: its end is not a question of this key's pace.
  const isTheAccounts = limits && limits.account < limits.key && who?.scope !== "account";
  const now = Date.now() / 1000;
  if (unlimited || isTheAccounts || (until && until <= now)) return null;
  const days = daysLeft(recent.days, today(), remaining);
  if (days === null) return null;
  if (until && now + days * 86400 > until) return t.lastsToEnd;
  return days < 1 ? t.lastsLess : days > 366 ? t.lastsLong : t.lasts(count(Math.floor(days)));
}

function figure([name, first, last, firstBefore, lastBefore]) {
  const { t, amount, change } = state.i18n;
  const { days } = state.recent;
  const [sum, before] = [sumOf(days, first, last), sumOf(days, firstBefore, lastBefore)];
  if (!sum) return null;
  const grown = before?.cost > 0 ? `${change(sum.cost / before.cost - 1)} · ` : "";
  return el("div", {}, el("dt", {}, t.periods[name]), el("dd", {}, amount(sum.cost), before ? el("small", {}, grown + t.before[name](amount(before.cost))) : null));
}

/** Hidden until the days are known. */
export function recentFigures() {
  if (!state.recent) return el("div", { id: "recent", hidden: true });
  const pace = lasts();
  const list = el("dl", { class: "trend", "aria-label": state.i18n.t.recent }, ...periods(today()).map(figure));
  return el("div", { id: "recent", hidden: !list.children.length }, list, pace ? el("p", { class: "note" }, pace) : null);
}

export const showRecent = () => byId("recent")?.replaceWith(recentFigures());
