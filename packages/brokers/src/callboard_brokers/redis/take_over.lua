-- Put back what readers had who are gone. KEYS: the list, all readers. ARGV: how the names of their
-- hashes begin; who leaves; nobody: all whose time is up.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = ARGV[2] ~= '' and {ARGV[2]} or redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)
for _, reader in ipairs(gone) do
  local hash = ARGV[1] .. reader
  local numbers = redis.call('HKEYS', hash)
  table.sort(numbers, function(a, b) return tonumber(a) > tonumber(b) end)
  for _, number in ipairs(numbers) do
    redis.call('LPUSH', KEYS[1], redis.call('HGET', hash, number))
  end
  redis.call('DEL', hash)
  redis.call('ZREM', KEYS[2], reader)
end
return #gone
