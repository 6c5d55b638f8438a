-- Put messages back in front of a list, in their order. KEYS: the list, the hash. ARGV: their numbers.
table.sort(ARGV, function(a, b) return tonumber(a) > tonumber(b) end)
for _, number in ipairs(ARGV) do
  local each = redis.call('HGET', KEYS[2], number)
  if each then redis.call('LPUSH', KEYS[1], each) end
  redis.call('HDEL', KEYS[2], number)
end
