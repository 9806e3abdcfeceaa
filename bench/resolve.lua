-- Resolve the alias of a random model: wrk … -- models catalogs schemas authorization
-- The names are those that bench/seed.py gave.

local path = "/api/2.0/mlflow/registered-models/alias?alias=Champion&name="
local models, catalogs, schemas

function init(args)
  models, catalogs, schemas = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
  if args[4] and args[4] ~= "" then
    wrk.headers["Authorization"] = args[4]
  end
  math.randomseed(os.time())
end

function request()
  local i = math.random(0, models - 1)
  local schema = math.floor(i / catalogs) % schemas
  local name = string.format("catalog%d.schema%d.model%d", i % catalogs, schema, i)
  return wrk.format("GET", path .. name)
end

function done(summary, latency, requests)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "errors": %d, "p50_us": %d, "p99_us": %d}\n',
    summary.requests, summary.duration, errors,
    latency:percentile(50), latency:percentile(99)))
end
