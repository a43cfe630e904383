// Requests to the billing routes: each function takes a caller and returns data or a Failure.

import { addDays, dateIn } from "./dates.js";

/** What clients of these routes take for "unlimited". */
export const UNLIMITED = 100000000;

const TIMEOUT_MS = 20000;

/** The error codes of the service that have a text of their own, under the same name. */
const CODES = ["invalid_api_key", "api_key_disabled", "user_mismatch", "user_disabled", "ip_not_allowed", "unsupported_logs"];

/** Why there is no data: `kind` names a text in text.js, `details` are that text's arguments. */
export class Failure extends Error {
  constructor(kind, ...details) {
    super(kind);
    Object.assign(this, { kind, details });
  }
}

const unexpected = () => new Failure("unexpected", 200, "");

/** The caller's balance, or a Failure; by two requests at once, or one `byOne`. */
export async function fetchFigures(caller, locale, byOne = false) {
  try {
    const asked = [request(caller, locale, "subscription")];
    if (byOne) await asked[0];
    asked.push(request(caller, locale, "usage"));
    return parseFigures(...(await Promise.all(asked)));
  } catch (error) {
    return returnFailure(error);
  }
}

/**
 * What was used on each day of a request {first, last, zone, group, token}, or a Failure. With the `group`
 * "api_key_id" an account is told by token too; `token` is the id of the one whose days these are to be.
 */
export function fetchDailyCosts(caller, locale, { first, last, zone, group, token }) {
  const query = new URLSearchParams({ include: "daily_costs", start_date: first, end_date: addDays(last, 1), timezone: zone });
  if (group) query.set("group_by", group);
  if (token) query.set("api_key_ids", token);
  return request(caller, locale, `usage?${query}`)
    .then((usage) => parseDailyCosts(usage, zone))
    .catch(returnFailure);
}

/** The caller's credit grants, its two limits and who it is, or a Failure. */
export function fetchGrants(caller, locale) {
  return request(caller, locale, "credit_grants?include=caller")
    .then(parseGrants)
    .catch(returnFailure);
}

/** `limits`: what remains on a key and on its account; null without both. `who`: the caller by name. */
export function parseGrants({ grants, token_available: key, account_available: account, caller: who = null }) {
  if (!Array.isArray(grants?.data)) throw unexpected();
  const limits = Number.isFinite(key) && Number.isFinite(account) ? { key, account } : null;
  return { grants: grants.data, limits, who };
}

/** A thrown Failure becomes the result; any other error is a defect and is thrown on. */
function returnFailure(error) {
  if (error instanceof Failure) return error;
  throw error;
}

let inFlight = 0;
export const requestsInFlight = () => inFlight;

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
  inFlight += 1;
  let response;
  let body;
  try {
    response = await fetch(message);
    body = await response.json().catch(() => null);
  } catch (error) {
    // A defect: whatever the network does to fetch is a TypeError too, but without a response.
    if (response) throw error;
    throw new Failure(navigator.onLine ? "service" : "offline");
  } finally {
    inFlight -= 1;
  }
  if (response.ok && body?.object) return body;
  throw failureOf(response, body, caller);
}

function failureOf({ status, headers }, body, caller) {
  const error = body?.error;
  const seconds = Math.ceil(headers.get("Retry-After")) || 10;
  if (status === 429) return new Failure("rate_limited", seconds);
  if (status === 400 && error?.param === "timezone") return new Failure("bad_zone");
  // The site reads its logs for the first time, and has a share of them.
  if (error?.code === "usage_incomplete") return new Failure("usage_incomplete", Math.min(Math.max(body.progress, 0), 1) || 0, seconds);
  if (error?.code === "user_mismatch" && !caller.user) return new Failure("noUser");
  if (status !== 404 && CODES.includes(error?.code)) return new Failure(error.code);
  // 502 and 504 come from a proxy that cannot reach the service.
  const kind = { 500: "broken", 502: "service", 503: "database", 504: "service" }[status] ?? "unexpected";
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

/**
 * The `days` as {date, items}, what was `refunded` in them, since when the logs are known, whether a total
 * is `counted`, and an account's `tokens`, null for a key.
 */
export function parseDailyCosts(body, zone) {
  const { daily_costs: days, api_keys: tokens = null, period_refunded: refunded = 0, logs_since: since = 0, total_usage_counted: counted = true } = body;
  const isCount = (value) => value === null || Number.isFinite(value);
  const isUse = (item) =>
    [item?.cost, item?.requests].every(Number.isFinite) && isCount(item.prompt_tokens) && isCount(item.completion_tokens);
  const isItem = (item) => isUse(item) && typeof item.name === "string";
  const isDay = (day) => Number.isFinite(day?.timestamp) && Array.isArray(day.line_items) && day.line_items.every(isItem);
  const areTokens = tokens === null || (Array.isArray(tokens) && tokens.every(isUse));
  // Rather a Failure than a missing cost that is taken for 0.
  if (!Array.isArray(days) || !days.every(isDay) || !areTokens || !Number.isFinite(refunded) || !Number.isFinite(since)) throw unexpected();
  const date = dateIn(zone);
  // Noon: the browser may have other rules of the zone than the site.
  return { days: days.map(({ timestamp, line_items: items }) => ({ date: date((timestamp + 43200) * 1000), items })), refunded, since, counted, tokens };
}
