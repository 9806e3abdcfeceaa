-- Ask an endpoint: wrk … -- path token [count]
-- With "count" it also counts which version answered, at some cost per request.

local threads = {}
local path
seen = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  path = args[1]
  if args[2] and args[2] ~= "" then
    wrk.headers["Authorization"] = "Bearer " .. args[2]
  end
  if args[3] == "count" then
    response = function(status, headers, body)
      local version = headers["x-greenlight-version"] or "none"
      seen[version] = (seen[version] or 0) + 1
    end
  end
end

function request()
  return wrk.format("GET", path)
end

function done(summary, latency, requests)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  local versions = {}
  for _, thread in ipairs(threads) do
    for version, count in pairs(thread:get("seen")) do
      table.insert(versions, string.format('"%s": %d', version, count))
    end
  end
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "errors": %d, "p50_us": %d, "p99_us": %d, "versions": {%s}}\n',
    summary.requests, summary.duration, errors,
    latency:percentile(50), latency:percentile(99), table.concat(versions, ", ")))
end
