// Sums of line items: by model, and by day, week or month. A row is {name, cost, tokens, requests}.

import { addDays, monthStart, weekStart } from "./dates.js";

/** What can be shown. `tokens` are prompt and completion tokens together. */
export const METRICS = ["cost", "tokens", "requests"];

/** Bars by day and by week end here: a screen has no room for more of them. */
const MOST_DAYS = 92;
const MOST_WEEKS_DAYS = 217;

/** `localeCompare` of many names takes a hundred times as long. */
const byName = new Intl.Collator().compare;

/** A row without use. `partly` is set where the tokens of some uses are not known. */
export const emptyRow = (name) => ({ name, cost: 0, tokens: 0, requests: 0, partly: false });

/** Adds what a line item used. The routes count costs in cents, which are summed before they are divided. */
function add(row, { cost, prompt_tokens: prompt, completion_tokens: completion, requests }) {
  row.cost += cost;
  row.requests += requests;
  if (prompt === null || completion === null) row.partly = true;
  else row.tokens += prompt + completion;
}

/** Rows by the name of their model. */
export function byModel(itemLists) {
  const rows = new Map();
  for (const items of itemLists) {
    for (const item of items) {
      let row = rows.get(item.name);
      if (!row) rows.set(item.name, (row = emptyRow(item.name)));
      add(row, item);
    }
  }
  for (const row of rows.values()) row.cost /= 100;
  return rows;
}

/** The row of one line item, of a token say. */
export function rowOf(item) {
  const row = emptyRow(item.name);
  add(row, item);
  row.cost /= 100;
  return row;
}

/** The sum of rows: every total of the page is made here, so that all of them agree. */
export function total(rows, name) {
  const sum = emptyRow(name);
  for (const row of rows) {
    for (const metric of METRICS) sum[metric] += row[metric];
    sum.partly ||= row.partly;
  }
  return sum;
}

/** The rows with the most first; those with the same by cost, then by name. */
export const ranked = (rows, metric) =>
  [...rows].sort((one, other) => other[metric] - one[metric] || other.cost - one.cost || byName(one.name, other.name));

/**
 * What the chart has a bar for: each day, each week from Monday, or each month, by how many days there
 * are. `days` are {date, items}; a bar is {unit, first, last, lists} with the items of its days.
 */
export function bars(days) {
  const unit = days.length <= MOST_DAYS ? "day" : days.length <= MOST_WEEKS_DAYS ? "week" : "month";
  const startOf = { day: (date) => date, week: weekStart, month: monthStart }[unit];
  const found = [];
  let start = null;
  for (const { date, items } of days) {
    if (startOf(date) !== start) {
      start = startOf(date);
      found.push({ unit, first: date, last: date, lists: [] });
    }
    const bar = found.at(-1);
    bar.last = date;
    bar.lists.push(items);
  }
  return found;
}

/** The sum of the days from `first` to `last`; null unless all of them are known. */
export function sumOf(days, first, last) {
  const inside = days.filter(({ date }) => date >= first && date <= last);
  const isWhole = inside.length > 0 && inside[0].date === first && inside.at(-1).date === last;
  if (!isWhole || inside.some(({ date }, index) => index && date !== addDays(inside[index - 1].date, 1))) return null;
  return total(byModel(inside.map(({ items }) => items)).values());
}
