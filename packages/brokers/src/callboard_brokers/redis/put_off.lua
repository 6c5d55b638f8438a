-- Keep a message until it is due. KEYS: what waits. ARGV: in how many milliseconds, the message.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), ARGV[2])
