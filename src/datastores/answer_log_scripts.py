"""What Redis does with an answer's log, each in one step (Lua): see `answer_log`.

What takes memory comes before what frees it: a Redis that is full refuses a script at its first write or not at all,
and a log that could be begun and not gone on with would begin again and again.
"""

from __future__ import annotations

# KEYS: log, meta, channel. ARGV: epoch, generation, sequence of the first event, ttl, event…
# The events become the whole log of a new generation. Answers: 1 begun, -1 the epoch is old.
BEGIN = """
local epoch = redis.call('HGET', KEYS[2], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then return -1 end
redis.call('HSET', KEYS[2], 'epoch', ARGV[1], 'generation', ARGV[2])
redis.call('DEL', KEYS[1])
for i = 5, #ARGV do
  redis.call('RPUSH', KEYS[1], ARGV[i])
  redis.call('PUBLISH', KEYS[3], ARGV[i])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 1
"""

# The first word of an answer that nobody had begun. ARGV: epoch, generation, ttl, the event as number 1 of it, the same
# as number 2 behind QUEUED. Answers: 1 or 2, as which it was added; -1 the epoch is old.
OPEN = """
local owner = redis.call('HMGET', KEYS[2], 'epoch', 'generation')
if owner[1] and tonumber(owner[1]) > tonumber(ARGV[1]) then return -1 end
local queued = owner[1] == '0' and owner[2] == 'queued' and redis.call('LLEN', KEYS[1]) == 1
redis.call('HSET', KEYS[2], 'epoch', ARGV[1], 'generation', queued and 'queued' or ARGV[2])
if not queued then redis.call('DEL', KEYS[1]) end
redis.call('RPUSH', KEYS[1], ARGV[queued and 5 or 4])
redis.call('PUBLISH', KEYS[3], ARGV[queued and 5 or 4])
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[3])
return queued and 2 or 1
"""

# Where there is no log yet. ARGV: ttl, the event that says QUEUED.
QUEUE = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('HSET', KEYS[2], 'epoch', '0', 'generation', 'queued')
redis.call('DEL', KEYS[1])
redis.call('RPUSH', KEYS[1], ARGV[2])
redis.call('PUBLISH', KEYS[3], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 1
"""
# KEYS: log, meta. ARGV: generation or '', sequence after which, bytes. Answers false where there is no log, else its
# generation, whether it is another one (and so read from its beginning), whether there is more, and the events.
READ = """
local generation = redis.call('HGET', KEYS[2], 'generation')
if not generation then return false end
local length = redis.call('LLEN', KEYS[1])
local position, other = tonumber(ARGV[2]), 0
if ARGV[1] == '' then
  position = 0
elseif ARGV[1] ~= generation or position > length then
  position, other = 0, 1
end
local answer, bytes = {generation, other, 0}, 0
while position < length and bytes < tonumber(ARGV[3]) do
  for _, event in ipairs(redis.call('LRANGE', KEYS[1], position, position + 63)) do
    if bytes < tonumber(ARGV[3]) then
      bytes = bytes + #event
      answer[#answer + 1] = event
      position = position + 1
    end
  end
end
if position < length then answer[3] = 1 end
return answer
"""

# KEYS: log, meta, log, meta … Answers the generation and the length of each log.
TAILS = """
local answer = {}
for i = 1, #KEYS, 2 do
  answer[i] = redis.call('HGET', KEYS[i + 1], 'generation')
  answer[i + 1] = redis.call('LLEN', KEYS[i])
end
return answer
"""

# KEYS: lease. ARGV: epoch, milliseconds. An old epoch neither takes nor drops a newer one's lease.
HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder and tonumber(holder) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
DROP = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
