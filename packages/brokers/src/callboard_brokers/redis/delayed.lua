-- Publish what is due; return in how many milliseconds the next is, or nothing.
-- KEYS: what waits, where it is to go. ARGV: what that is, the field of an entry.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, each in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)) do
  local body = string.sub(each, 33) -- behind what tells it from others
  if ARGV[1] == 'stream' then redis.call('XADD', KEYS[2], '*', ARGV[2], body)
  else redis.call('RPUSH', KEYS[2], body) end
  redis.call('ZREM', KEYS[1], each)
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if #first == 0 then return false end
return math.max(1, math.ceil(first[2] - now))
