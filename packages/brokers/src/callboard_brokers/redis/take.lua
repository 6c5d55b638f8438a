-- Move messages from a list to the hash of a reader, who is there from now on; return them.
-- KEYS: the list, the hash, all readers. ARGV: the reader, for how many milliseconds he is there, how
-- many messages, the number before that of the first.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[2]), ARGV[1])
local taken = redis.call('LPOP', KEYS[1], ARGV[3])
if not taken then return {} end
for n, each in ipairs(taken) do redis.call('HSET', KEYS[2], tonumber(ARGV[4]) + n, each) end
return taken
