-- Sends the requests of a file, each once: `wrk … -- FILE THREADS`. A file with a single request: sends it repeatedly.
-- The requests of the file are separated by \30.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  thread:set("exhausted", 0)
  table.insert(threads, thread)
end

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local all = file:read("*a")
  file:close()
  requests, sent = {}, 0
  local count = 0
  for request in all:gmatch("[^\30]+") do
    if count % tonumber(arguments[2]) == number then
      table.insert(requests, request)
    end
    count = count + 1
  end
  if count == 1 then
    one = all
  end
end

function request()
  if one then
    return one
  end
  sent = sent + 1
  if sent > #requests then
    exhausted = 1
    wrk.thread:stop()
    return requests[#requests]
  end
  return requests[sent]
end

function done(summary, latency)
  local exhausted = 0
  for _, thread in ipairs(threads) do
    exhausted = exhausted + thread:get("exhausted")
  end
  local errors = summary.errors
  local result = {
    answered = summary.requests,
    duration_us = summary.duration,
    p99_us = latency:percentile(99),
    not_2xx = errors.status,
    broken = errors.connect + errors.read + errors.write + errors.timeout,
    exhausted = exhausted,
  }
  for name, value in pairs(result) do
    print(string.format("result %s %d", name, value))
  end
end
