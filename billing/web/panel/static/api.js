// Requests to the billing routes: each function takes a caller and returns data or a Failure.

/** What clients of these routes take for "unlimited". */
export const UNLIMITED = 100000000;

const TIMEOUT_MS = 20000;

/** The error codes of the service that have a text of their own, under the same name. */
const CODES = ["invalid_api_key", "api_key_disabled", "user_mismatch", "user_disabled", "ip_not_allowed"];

/** Why there is no data: `kind` names a text in text.js, `details` are that text's arguments. */
export class Failure extends Error {
  constructor(kind, ...details) {
    super(kind);
    Object.assign(this, { kind, details });
  }
}

const unexpected = () => new Failure("unexpected", 200, "");

/** The caller of a pasted key and user ID, or a Failure. */
export function parseCaller(keyText, userText) {
  const key = keyText.trim().replace(/^Bearer\s+/i, "");
  const user = userText.trim();
  if (!key) return new Failure("empty");
  // What no header can carry must not reach Request, which would throw a TypeError.
  if (!/^[!-~]+$/.test(key)) return new Failure("malformed");
  if (!/^[0-9]*$/.test(user)) return new Failure("badUser");
  return { key, user };
}

/** The caller's balance, or a Failure. */
export function fetchFigures(caller, locale) {
  const paths = ["subscription", "usage"];
  return Promise.all(paths.map((path) => request(caller, locale, path)))
    .then(([subscription, usage]) => parseFigures(subscription, usage))
    .catch(returnFailure);
}

/** The costs of each day from `start` to `end`, or a Failure. Both are ISO dates, the end exclusive. */
export function fetchDailyCosts(caller, locale, start, end) {
  return request(caller, locale, `usage?include=daily_costs&start_date=${start}&end_date=${end}`)
    .then((usage) => parseDailyCosts(usage))
    .catch(returnFailure);
}

/** The caller's credit grants and two limits, or a Failure. */
export function fetchGrants(caller, locale) {
  return request(caller, locale, "credit_grants")
    .then(parseGrants)
    .catch(returnFailure);
}

/** `limits`: what remains on a key and on its account; null without both. */
export function parseGrants({ grants, token_available: key, account_available: account }) {
  if (!Array.isArray(grants?.data)) throw unexpected();
  const limits = Number.isFinite(key) && Number.isFinite(account) ? { key, account } : null;
  return { grants: grants.data, limits };
}

/** A thrown Failure becomes the result; any other error is a defect and is thrown on. */
function returnFailure(error) {
  if (error instanceof Failure) return error;
  throw error;
}

/** The body of one response. Throws a Failure. */
async function request(caller, locale, path) {
  // Built outside `try`: only what the network does is a failure, an error in here is a defect.
  const message = new Request(new URL(`../${path}`, import.meta.url), {
    headers: {
      Authorization: `Bearer ${caller.key}`,
      "Accept-Language": locale,
      ...(caller.user ? { "New-Api-User": caller.user } : {}),
    },
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  let response;
  try {
    response = await fetch(message);
  } catch {
    throw new Failure(navigator.onLine ? "service" : "offline");
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body?.object) return body;
  throw failureOf(response, body?.error, caller);
}

function failureOf({ status, headers }, error, caller) {
  if (status === 429) return new Failure("rate_limited", Math.ceil(headers.get("Retry-After")) || 10);
  if (error?.code === "user_mismatch" && !caller.user) return new Failure("noUser");
  if (status !== 404 && CODES.includes(error?.code)) return new Failure(error.code);
  // 502 and 504 come from a proxy that cannot reach the service.
  const kind = { 500: "broken", 501: "broken", 502: "service", 503: "database", 504: "service" }[status] ?? "unexpected";
  return new Failure(kind, status, typeof error?.message === "string" ? error.message : "");
}

/** Throws a Failure rather than take a missing figure for 0. */
export function parseFigures(subscription, usage) {
  const [limit, used, until] = [subscription.hard_limit_usd, usage.total_usage / 100, subscription.access_until];
  if (![limit, usage.total_usage, until].every(Number.isFinite)) throw unexpected();
  const rest = limit - used;
  // The rounding error of a subtraction of doubles counts as 0.
  const remaining = Math.abs(rest) < 1e-12 * Math.max(Math.abs(limit), Math.abs(used)) ? 0 : rest;
  return { limit, used, remaining, until, unlimited: isUnlimited(limit, used) };
}

/** Where more than UNLIMITED was used, that much is left, but for the rounding errors of doubles. */
const isUnlimited = (limit, used) =>
  limit === UNLIMITED || (used >= UNLIMITED && Math.abs(limit - used - UNLIMITED) <= 4 * Number.EPSILON * limit);

/** The `days`, what was `refunded` in them, since when the logs are known, and whether a total is `counted`. */
export function parseDailyCosts({ daily_costs: days, period_refunded: refunded = 0, logs_since: since = 0, total_usage_counted: counted = true }) {
  const isItem = (item) => typeof item?.name === "string" && Number.isFinite(item.cost);
  const isDay = (day) => Number.isFinite(day?.timestamp) && Array.isArray(day.line_items) && day.line_items.every(isItem);
  // Rather a Failure than a missing cost that is taken for 0.
  if (!Array.isArray(days) || !days.every(isDay) || !Number.isFinite(refunded) || !Number.isFinite(since)) throw unexpected();
  return { days, refunded, since, counted };
}
