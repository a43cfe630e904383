// What people paste into the form: a key with its quotes, its variable's name or its header around it.

import { Failure } from "./api.js";

const INVISIBLE = /[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]/g;
/** `export OPENAI_API_KEY=`, `api_key": `, `Authorization: `. */
const NAME = /^(?:export\s+|set\s+|\$env:)?[\w-]*(?:key|token|authorization)["']?\s*[=:]\s*/i;
const QUOTES = /^["'`“”‘’「]+|["'`“”‘’」]+$/g;

/** Full-width characters become plain ones, which NFKC knows. */
const clean = (text) => text.normalize("NFKC").replace(INVISIBLE, "").trim();

const unquote = (text) => text.replace(/[,;]$/, "").replace(QUOTES, "").trim();

/** The caller of a pasted key and user ID, or a Failure. */
export function parseCaller(keyText, userText) {
  // Quotes stand around a name, or around what is behind it.
  const value = unquote(clean(keyText)).replace(NAME, "");
  const key = unquote(value).replace(/^Bearer\s+/i, "");
  const user = unquote(clean(userText));
  if (!key) return new Failure("empty");
  // What no header can carry must not reach Request, which would throw a TypeError.
  if (!/^[!-~]+$/.test(key)) return new Failure("malformed");
  if (!/^[0-9]*$/.test(user)) return new Failure("badUser");
  return { key, user };
}
