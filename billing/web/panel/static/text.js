// The languages of the page, and the formats of amounts, counts, days and times.

/** By their names in the page's HTML, the module with each language's texts: only one is loaded. */
const MODULES = { en: "english", zh: "chinese", "zh-TW": "traditional" };

/** Seconds in each unit of time, its name, and the seconds from which on it is used. */
const UNITS = [
  [31557600, "year", 63115200],
  [86400, "day", 172800],
  [3600, "hour", 7200],
  [60, "minute", 0],
];

/** Which of our languages a tag like zh-Hant-HK is, as billing/web/panel/__init__.py has it. */
const languageOf = (tag) => (/^zh\b/i.test(tag) ? (/\b(tw|hk|mo|hant)\b/i.test(tag) ? "zh-TW" : "zh") : tag.slice(0, 2).toLowerCase());

/** The texts `t` of a language and its formats. `unitData`: the site's unit and symbol. */
export async function i18nFor(language, unitData) {
  const { texts: t } = await import(`./${MODULES[language]}.js`);
  const locale = navigator.languages.find((each) => languageOf(each) === language) ?? language;
  return { t, language, locale, ...amountsFor(locale, unitData, t), ...timesFor(locale) };
}

function amountsFor(locale, { unit, symbol = "" }, t) {
  const whole = unit === "TOKENS";
  const plain = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
  const compact = new Intl.NumberFormat(locale, { notation: "compact", maximumSignificantDigits: 3 });
  const percent = (digits) => new Intl.NumberFormat(locale, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });
  const percents = Array.from({ length: 7 }, (_, digits) => percent(digits));
  const changes = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0, signDisplay: "exceptZero" });
  // At least two decimals; amounts below 0.1 show two significant digits.
  const decimals = (size) => (whole ? 0 : size === 0 || size >= 0.1 ? 2 : Math.min(1 - Math.floor(Math.log10(size)), 12));
  const fixed = Array.from({ length: 13 }, (_, most) => new Intl.NumberFormat(locale, { minimumFractionDigits: Math.min(most, 2), maximumFractionDigits: most }));
  const signed = (value, text) => `${value < 0 ? "−" : ""}${symbol}${text}`;
  /** `digits`: at least so many decimals. Rounded first: the errors of sums of doubles are behind 14 digits. */
  const amount = (value, digits = 0) => {
    const size = Number(Math.abs(value).toPrecision(14));
    return signed(value, fixed[Math.max(decimals(size), digits)].format(size));
  };
  const count = (value) => plain.format(value);
  return {
    amount,
    count,
    decimals: (value) => decimals(Math.abs(value)),
    /** What is not the whole is not called 100.0%. */
    share: (value) => percents.find((each, digits) => digits && (value >= 1 || each.format(value) !== each.format(1)))?.format(value) ?? percents[6].format(value),
    percent: (value) => percents[0].format(value),
    change: (value) => changes.format(value).replace("-", "−"),
    /** A figure of a row. */
    value: (metric, row) => {
      if (metric === "cost") return amount(row.cost);
      if (metric === "tokens" && row.partly) return row.tokens ? t.atLeast(count(row.tokens)) : t.dash;
      return count(row[metric]);
    },
    /** For the axis: $2B, 15M. */
    short: (metric, value) => (metric === "cost" ? signed(value, compact.format(Math.abs(value))) : compact.format(value)),
  };
}

function timesFor(locale) {
  const format = (options) => new Intl.DateTimeFormat(locale, options);
  const date = { year: "numeric", month: "short", day: "numeric" };
  const moment = format({ ...date, hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
  const clock = format({ hour: "2-digit", minute: "2-digit" });
  // Days are dates: what UTC calls their midnight is only how Date has them.
  const day = format({ ...date, timeZone: "UTC" });
  const short = format({ month: "numeric", day: "numeric", timeZone: "UTC" });
  const month = format({ month: "short", year: "2-digit", timeZone: "UTC" });
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: "always" });
  return {
    moment: (seconds) => moment.format(seconds * 1000),
    clock: (milliseconds) => clock.format(milliseconds),
    days: {
      range: (first, last) => [...new Set([first, last])].map((each) => day.format(new Date(each))).join(" – "),
      day: (first) => short.format(new Date(first)),
      week: (first) => short.format(new Date(first)),
      month: (first) => month.format(new Date(first)),
    },
    /** Asia/Shanghai (GMT+8). */
    zoneName: (zone) => {
      if (zone === "UTC") return zone;
      const parts = format({ timeZone: zone, timeZoneName: "shortOffset" }).formatToParts(Date.now());
      return `${zone} (${parts.find(({ type }) => type === "timeZoneName").value})`;
    },
    relative: (seconds) => {
      const size = Math.abs(seconds);
      const [length, name] = UNITS.find(([, , from]) => size >= from);
      return relative.format(Math.trunc(seconds / length), name);
    },
  };
}
