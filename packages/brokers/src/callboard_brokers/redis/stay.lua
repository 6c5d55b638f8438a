-- Say that a reader is there; return whether he was held for gone. KEYS: all readers. ARGV: the reader,
-- for how many milliseconds he is there.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
