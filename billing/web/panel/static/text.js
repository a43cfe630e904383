// The texts of the page in English and Chinese, and the formats of amounts, days and times.

const english = {
  title: "Balance and usage",
  language: "中文",
  lead: "See the remaining balance, the expiry and the usage of a key.",
  key: "API key or access token",
  keyHelp: "Sent only to this site, in a request header. Cleared when you close or reload the tab, unless you tick “Remember in this tab”.",
  user: "User ID",
  userHelp: "Required with an access token. Leave it empty for an API key.",
  show: "Show",
  remember: "Remember in this tab",
  footer: "Days are in UTC. Times are in your time zone.",
  loading: "Loading…",
  retry: "Try again",
  refresh: "Refresh",
  other: "Another key",
  ends: (tail) => `key ending in ${tail}`,

  remaining: "Remaining",
  used: "Used",
  limit: "Limit",
  unlimited: "Unlimited",
  usedOf: (used, limit) => `${used} used of ${limit}`,
  usedShare: (share) => `${share} used`,
  active: "Active",
  exhausted: "Used up",
  expired: "Expired",
  soon: "Expires soon",
  never: "Never expires",
  expires: (when) => `Expires ${when}`,
  ended: (when) => `Expired ${when}`,
  left: (amount) => `${amount} left`,
  noLimit: "no limit",
  refusedNow: (key, account) => `This key: ${key}; its account: ${account}, so requests will be refused.`,
  refusedAbove: (key, account) => `This key: ${key}; its account: ${account}. Larger requests will be refused.`,
  units: { USD: "in US dollars", CNY: "in yuan", TOKENS: "in quota units", CUSTOM: "in the site's own unit" },
  unitUnknown: "The unit of this site's amounts is unavailable, so they are shown without it. Reload the page to try again.",

  daily: "Usage by day",
  range: "Range",
  ranges: { 7: "7 days", 30: "30 days", 90: "90 days", month: "This month", custom: "Custom" },
  from: "From",
  to: "To",
  apply: "Apply",
  badRange: "The last day must not be before the first day, and the range must not exceed 366 days.",
  nothing: "No usage in this period.",
  refunded: (amount) => `Refunded in this period: ${amount}. It is subtracted above, but not from what is used in all.`,
  logsSince: (when) => `Usage before ${when} is not known: the site has no logs from then.`,
  uncounted: "This site does not count what an unlimited key uses in all; the days are from its logs.",
  chart: "Usage by day. Use the arrow keys to move from day to day.",
  total: "Total",
  rest: "Other models",
  unnamed: "(no name)",
  model: "Model",
  cost: "Cost",
  share: "Share",
  byModel: "By model",
  csv: "Download CSV",

  grants: "Grants and subscriptions",
  grant: "Grant",
  resets: (when) => `Resets ${when}`,
  amount: "Amount",
  since: "Since",
  until: "Expiry",
  kinds: { subscription: "Subscription", redemption: "Redeemed code", topup: "Top-up", credit: "Credit", account: "Other balance", token: "Key" },
  dash: "–",

  noDaily: {
    elsewhere: "Daily usage is unavailable: this site keeps its logs in a database that this service cannot read. The figures above are not affected.",
    slow: "Daily usage could not be read: the query took too long or the database is unavailable. The figures above are not affected.",
    rateLimited: (seconds) => `Daily usage could not be read: too many requests. Try again in ${seconds} s.`,
    defect: "Daily usage could not be shown: this page has an error. The figures above are not affected.",
    other: (reason) => `Daily usage could not be read (${reason}). The figures above are not affected.`,
  },

  errors: {
    empty: ["No key entered", "Paste an API key or an access token first."],
    malformed: ["Invalid key", "It contains spaces or characters that no key has. Check that only the key was copied."],
    badUser: ["Invalid user ID", "A user ID has digits only."],
    invalid_api_key: ["Unknown key", "This site does not know the key. Check that it is complete and has not been deleted. An access token also needs its user ID."],
    api_key_disabled: ["Key disabled", "The key exists but is disabled. Enable it on the site, or use another one."],
    user_mismatch: ["Wrong user ID", "The key belongs to another user. Correct the user ID, or leave it empty for an API key."],
    noUser: ["User ID required", "This site requires the user ID of the key's owner with every key."],
    user_disabled: ["User disabled", "The key is valid, but its user is disabled. Contact the site's administrator."],
    ip_not_allowed: ["IP address not allowed", "The key can be used only from certain IP addresses, and yours is not one of them."],
    rate_limited: ["Too many requests", (seconds) => `Nothing is wrong with the key. Try again in ${seconds} s.`],
    database: ["Database unavailable", "The key could not be checked, and no figures are available. This is usually temporary."],
    broken: ["The service cannot read its database", "Only the site's administrator can fix this. Nothing is wrong with the key."],
    service: ["Service unavailable", "The service did not respond, so the key could not be checked. This is usually temporary."],
    offline: ["You are offline", "Your device has no network connection. Try again when it is back."],
    unexpected: ["Unexpected response", (status, message) => `The site answered ${status}${message ? `: ${message}` : ", without the data that this page needs"}.`],
  },
};

const chinese = {
  title: "余额与用量",
  language: "English",
  lead: "查看令牌的剩余额度、有效期和用量明细。",
  key: "API 令牌或系统访问令牌",
  keyHelp: "只发送给本站，且只放在请求头中。关闭或刷新标签页后即清除，除非勾选“在此标签页中记住”。",
  user: "用户 ID",
  userHelp: "使用系统访问令牌时须填写；使用 API 令牌时留空。",
  show: "查看",
  remember: "在此标签页中记住",
  footer: "日期按 UTC 划分，时间按您所在的时区显示。",
  loading: "加载中…",
  retry: "重试",
  refresh: "刷新",
  other: "换一个令牌",
  ends: (tail) => `尾号 ${tail} 的令牌`,

  remaining: "剩余",
  used: "已用",
  limit: "总额度",
  unlimited: "无限额度",
  usedOf: (used, limit) => `已用 ${used}，共 ${limit}`,
  usedShare: (share) => `已用 ${share}`,
  active: "正常",
  exhausted: "额度已用尽",
  expired: "已过期",
  soon: "即将过期",
  never: "永不过期",
  expires: (when) => `${when}过期`,
  ended: (when) => `已于${when}过期`,
  left: (amount) => `剩余 ${amount}`,
  noLimit: "不限额",
  refusedNow: (key, account) => `此令牌：${key}；所属账户：${account}，因此请求会被拒绝。`,
  refusedAbove: (key, account) => `此令牌：${key}；所属账户：${account}。费用更高的请求会被拒绝。`,
  units: { USD: "单位：美元", CNY: "单位：人民币元", TOKENS: "单位：额度点数", CUSTOM: "单位：本站自定" },
  unitUnknown: "暂时无法获取本站的金额单位，因此金额不带单位显示。刷新页面可重试。",

  daily: "每日用量",
  range: "时间范围",
  ranges: { 7: "7 天", 30: "30 天", 90: "90 天", month: "本月", custom: "自定义" },
  from: "从",
  to: "到",
  apply: "应用",
  badRange: "结束日期不能早于开始日期，范围最多 366 天。",
  nothing: "该时间段内没有用量。",
  refunded: (amount) => `该时间段内退回：${amount}。以上用量已扣除退回部分，总的已用额度未扣除。`,
  logsSince: (when) => `${when}之前的用量未知：本站没有那时的日志。`,
  uncounted: "本站不统计无限额度令牌的总用量；每日用量来自日志。",
  chart: "每日用量：用方向键逐日查看",
  total: "合计",
  rest: "其他模型",
  unnamed: "（无名称）",
  model: "模型",
  cost: "费用",
  share: "占比",
  byModel: "按模型",
  csv: "下载 CSV",

  grants: "额度来源与订阅",
  grant: "来源",
  resets: (when) => `${when}重置`,
  amount: "额度",
  since: "开始",
  until: "到期",
  kinds: { subscription: "订阅", redemption: "兑换码", topup: "充值", credit: "赠送额度", account: "其他余额", token: "令牌" },
  dash: "–",

  noDaily: {
    elsewhere: "无法提供每日用量：本站的日志存放在本服务无法读取的数据库中。以上数字不受影响。",
    slow: "每日用量读取失败：查询超时或数据库暂时不可用。以上数字不受影响。",
    rateLimited: (seconds) => `每日用量读取失败：请求过于频繁，请在 ${seconds} 秒后重试。`,
    defect: "每日用量无法显示：本页面出错。以上数字不受影响。",
    other: (reason) => `每日用量读取失败（${reason}）。以上数字不受影响。`,
  },

  errors: {
    empty: ["尚未填写令牌", "请先粘贴 API 令牌或系统访问令牌。"],
    malformed: ["令牌格式不正确", "其中包含令牌不会有的空格或字符，请检查是否多复制了内容。"],
    badUser: ["用户 ID 格式不正确", "用户 ID 只包含数字。"],
    invalid_api_key: ["令牌不存在", "本站没有这个令牌：请检查是否完整、是否已被删除。系统访问令牌须同时填写其用户 ID。"],
    api_key_disabled: ["该令牌已被禁用", "令牌存在，但已被禁用：请在本站启用它，或换一个令牌。"],
    user_mismatch: ["用户 ID 不匹配", "该令牌属于另一位用户：请更正用户 ID；使用 API 令牌时可留空。"],
    noUser: ["缺少用户 ID", "本站要求使用每个令牌时都填写其所属用户的 ID。"],
    user_disabled: ["该用户已被禁用", "令牌有效，但其用户已被禁用：请联系本站管理员。"],
    ip_not_allowed: ["IP 地址不在允许范围内", "该令牌只允许从特定的 IP 地址使用，而您的地址不在其中。"],
    rate_limited: ["请求过于频繁", (seconds) => `令牌没有问题，请在 ${seconds} 秒后重试。`],
    database: ["数据库暂时不可用", "无法核对令牌，也无法读取数字。通常会自行恢复。"],
    broken: ["服务无法读取数据库", "只有本站管理员能修复；令牌没有问题。"],
    service: ["服务暂时不可用", "服务没有响应，无法核对令牌。通常会自行恢复。"],
    offline: ["您已离线", "设备没有网络连接，请恢复后重试。"],
    unexpected: ["无法识别的响应", (status, message) => `本站返回 ${status}${message ? `：${message}` : "，其中没有本页面需要的数据"}。`],
  },
};

export const texts = { en: english, zh: chinese };

/** Seconds in each unit of time, its name, and the seconds from which on it is used. */
const UNITS = [
  [31557600, "year", 63115200],
  [86400, "day", 172800],
  [3600, "hour", 7200],
  [60, "minute", 0],
];

/** The browser's languages, the preferred one first. */
const accepted = navigator.languages ?? [navigator.language];

/** The texts `t` of a language, "en" or "zh", and its formats. `unitData`: the site's unit and symbol. */
export function i18nFor(language, unitData) {
  const t = texts[language];
  const locale = accepted.find((each) => each.startsWith(language)) ?? (language === "zh" ? "zh-CN" : "en");
  const whole = unitData.unit === "TOKENS";
  // At least two decimals; amounts below 0.1 show two significant digits.
  const decimals = (size) => (size === 0 || size >= 0.1 ? 2 : Math.min(1 - Math.floor(Math.log10(size)), 12));
  const number = (size) =>
    new Intl.NumberFormat(locale, whole ? { maximumFractionDigits: 0 } : { minimumFractionDigits: 2, maximumFractionDigits: decimals(size) }).format(size);
  const percent = new Intl.NumberFormat(locale, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const moment = new Intl.DateTimeFormat(locale, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  });
  const day = new Intl.DateTimeFormat(locale, { year: "numeric", month: "short", day: "numeric", timeZone: "UTC" });
  const short = new Intl.DateTimeFormat(locale, { month: "numeric", day: "numeric", timeZone: "UTC" });
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: "always" });
  return {
    t,
    language,
    // The texts are in simplified Chinese, whatever Chinese the formats follow.
    locale: language === "zh" ? "zh-CN" : locale,
    // Rounded to 14 digits first: the rounding errors of sums of doubles are in the digits after.
    amount: (value) => `${value < 0 ? "−" : ""}${unitData.symbol ?? ""}${number(Number(Math.abs(value).toPrecision(14)))}`,
    share: (value) => percent.format(value),
    moment: (seconds) => moment.format(seconds * 1000),
    day: (seconds) => day.format(seconds * 1000),
    shortDay: (seconds) => short.format(seconds * 1000),
    relative: (seconds) => {
      const size = Math.abs(seconds);
      const [length, name] = UNITS.find(([, , from]) => size >= from);
      return relative.format(Math.trunc(seconds / length), name);
    },
  };
}

/** The first of the browser's languages that the page speaks, or English. */
export const preferredLanguage = () =>
  accepted.map((each) => each.slice(0, 2).toLowerCase()).find((each) => each === "zh" || each === "en") ?? "en";
