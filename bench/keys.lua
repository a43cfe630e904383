-- Sends a random key each time, and prints what wrk counted as one line of JSON.
-- Arguments: prefix of the keys, how many there are, the path.
local seeds = 0

function setup(thread)
  seeds = seeds + 1
  thread:set("seed", os.time() * 1000 + seeds)
end

function init(args)
  math.randomseed(seed)
  prefix, keys, path = args[1], tonumber(args[2]), args[3]
  last = 0
end

function request()
  local key = math.random(keys)
  if key == last then key = key % keys + 1 end
  last = key
  return wrk.format("GET", path, { ["Authorization"] = "Bearer sk-" .. prefix .. key })
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"refused":%d,"broken":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
