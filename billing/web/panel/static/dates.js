// Calendar days as ISO dates, "2026-11-01", and the time zone whose days these are.

const DAY = 86400000;
export const MAX_DAYS = 366;
/** The ranges that can be picked, by their names in the page's address. */
export const RANGES = { "7d": 7, "30d": 30, "90d": 90 };

const iso = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 10);

export const addDays = (date, days) => iso(Date.parse(date) + days * DAY);

/** How many days there are from `first` to `last`, both counted; NaN when one is no date. */
export const countDays = (first, last) => (Date.parse(last) - Date.parse(first)) / DAY + 1;

/** Of a date like 2026-11-05: 2026-11-01. */
export const monthStart = (date) => `${date.slice(0, 8)}01`;

/** The Monday of a date's week. */
export const weekStart = (date) => addDays(date, -((new Date(date).getUTCDay() + 6) % 7));

/** The browser's zone; browsers that do not tell it are in UTC. */
export const browserZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** The date in `zone` at a time. Swedish is written as ISO is. */
export const dateIn = (zone) => {
  const format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" });
  return (milliseconds) => format.format(milliseconds);
};

/** The first and the last day of a period `{range, first, last}`; only "custom" has its own days. */
export function bounds({ range, first, last }, today) {
  if (range === "custom") return { first, last };
  if (range === "month") return { first: monthStart(today), last: today };
  return { first: addDays(today, 1 - RANGES[range]), last: today };
}

/** A period as the page's address has it: 7d, 30d, 90d, month, or 2026-11-01..2026-11-05. */
export const periodName = ({ range, first, last }) => (range === "custom" ? `${first}..${last}` : range);

/** The period of that name; null when there is none. */
export function namedPeriod(name) {
  if (Object.hasOwn(RANGES, name) || name === "month") return { range: name };
  const [first, last, ...more] = (name ?? "").split("..");
  const isDate = (text) => /^\d{4}-\d\d-\d\d$/.test(text ?? "") && !Number.isNaN(Date.parse(text));
  return isDate(first) && isDate(last) && !more.length && isRange(first, last) ? { range: "custom", first, last } : null;
}

export const isRange = (first, last) => {
  const days = countDays(first, last);
  // An empty date makes NaN, which no comparison accepts.
  return days >= 1 && days <= MAX_DAYS;
};
