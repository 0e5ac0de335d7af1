-- One step of an app's flow control; nothing comes in between.
--
-- KEYS: state (hash), slots, flying, refused, waiting, due (sorted sets); ARGV[1]: the question, as JSON.
--
-- Times are seconds on the app's own clock, which starts at 1000 and goes as the server's does. A server's clock can be
-- set: so each asker says between what times it expects the app's clock to be, by its own measure of the time since it
-- last asked. Where the clock is not, and nobody has put it right since, the asker is told what it shows and nothing
-- else. It knows by then how long its question may have been on the way: if that does not explain it, it asks again
-- and has the clock put right, to the earlier of the two times.
--
-- A slot is in `slots` by the time at which it comes free, in `flying` by when its call has ended at the latest.
--
-- Slots are known `since` a time on the app's clock. Any of them may have been taken just before, by calls of which the
-- state does not tell: because there was none, or because it was made by another run of the server. That one may have
-- held more than it has handed down: it lost what it had not written yet, or this one goes on from an older copy.

local state, slots, flying, refused, waiting, due = unpack(KEYS)
local q = cjson.decode(ARGV[1])

local server = redis.call('TIME')
local wall = tonumber(server[1]) + tonumber(server[2]) / 1e6
local run = assert(string.match(redis.call('INFO', 'server'), 'run_id:(%w+)'), 'the server tells no run_id')
local kept = redis.call('HMGET', state, 'birth', 'offset', 'clock', 'not_before', 'most', 'late', 'lesson', 'version', 'lost',
  'steps', 'taken', 'run', 'since', 'at')
local function number(text)
  local value = text and tonumber(text) or not text and 0
  return assert(value and math.abs(value) < 2 ^ 53 and value, 'a number in the state is none')
end
local birth, offset, clock = kept[1], number(kept[2]), number(kept[3])
local not_before, most, late = number(kept[4]), number(kept[5]), number(kept[6])
local text = kept[7] or q.nothing
local version, lost = number(kept[8]), kept[9] or ''
local steps, taken, since, at, unknown = number(kept[10]), number(kept[11]), number(kept[13]), number(kept[14]), false
if not birth then
  redis.call('DEL', slots, flying, refused, waiting, due)  -- what is left of them goes by another clock
  birth, offset, clock, unknown = q.key, wall - 1000, 0, true
elseif kept[12] ~= run or redis.call('ZCARD', slots) ~= taken or (q.birth == birth and q.steps > steps) then
  -- Another run, or slots were evicted, or an older copy was put in place. A new birth has this noticed once only.
  birth, lost, unknown = q.key, birth, true
end

local now = wall - offset
if q.birth ~= '' and q.birth ~= birth and q.birth ~= lost then
  lost, unknown = q.birth, unknown or now >= since + q.timeout + q.hold  -- until then it is feared anyhow
end
-- Where somebody has put it right, it may well be behind: the asker may have seen it only after it was set.
local ahead, behind = now > q.latest + q.slack, now < q.earliest - q.slack and q.clock == clock
if q.birth == birth and (ahead or behind) then
  if not q.put_right then return cjson.encode({ off = true, now = now }) end
  offset, clock, now = offset + now - q.earliest, clock + 1, q.earliest
end
if unknown then since = now end
if now - at > q.keep then  -- what refusals taught so long ago is out of date
  not_before, most, late, version = 0, 0, 0, version + 1
  local forgotten = cjson.decode(q.nothing)
  forgotten.episode = cjson.decode(text).episode
  text = cjson.encode(forgotten)
end
local lesson = cjson.decode(text)
local unknown_for = math.max(since + q.timeout + q.hold - now, 0)

local gone = redis.call('ZCOUNT', slots, '-inf', now)
redis.call('ZREMRANGEBYSCORE', flying, '-inf', now)
if gone > 0 then
  most = math.max(most, redis.call('ZCARD', slots) - redis.call('ZCARD', flying))
  redis.call('ZREMRANGEBYSCORE', slots, '-inf', now)
  redis.call('ZREMRANGEBYSCORE', refused, '-inf', now)
end
if redis.call('ZCARD', waiting) ~= redis.call('ZCARD', due) then redis.call('DEL', waiting, due) end  -- one was evicted
for _, asker in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', now)) do
  redis.call('ZREM', waiting, asker)
  redis.call('ZREM', due, asker)
end

for _, e in ipairs(q.ends) do
  local free_at = now - e.ago + q.hold
  redis.call('ZREM', flying, e.key)
  if e.word == 'unsent' or free_at <= now then
    redis.call('ZREM', slots, e.key)
  else
    redis.call('ZADD', slots, free_at, e.key)
    if e.word == 'refused' then redis.call('ZADD', refused, free_at, e.key) end
  end
  if e.word == 'accepted' and lesson.pauses > 0 and e.episode < lesson.episode then late = late + 1 end
end

local limit, gap = q.limit, q.gap
if lesson.ceiling > 0 then
  local learned = lesson.limit
  if lesson.first then learned = math.min(learned + late, lesson.ceiling) end
  limit, gap = math.min(limit, learned), math.max(gap, lesson.period / learned)
end

-- Seconds until a slot is free for whoever has so many others ahead; a call in flight has to end first.
local function free_in(ahead)
  local surplus = redis.call('ZCARD', slots) + ahead - limit
  if surplus < 0 then return 0 end
  local slot = redis.call('ZRANGE', slots, surplus, surplus, 'WITHSCORES')
  local free_at = tonumber(slot[2])
  if not free_at then  -- nobody has it yet: one of those ahead takes it, or lets its turn pass
    free_at = now + q.hold
    for _, asker in ipairs(redis.call('ZRANGE', waiting, 0, ahead - 1)) do
      free_at = math.min(free_at, tonumber(redis.call('ZSCORE', due, asker) or free_at))
    end
  end
  return math.min(free_at - now, q.hold)
end

-- Returns how many seconds it takes until it is the asker's turn; 0 where it is, which ends its waiting.
local function queue()
  redis.call('ZADD', waiting, 'NX', now, q.asker)
  local ahead = redis.call('ZRANK', waiting, q.asker)
  local wait = math.max(math.max(not_before - now, unknown_for) + ahead * gap, free_in(ahead))
  if wait > 0 then
    redis.call('ZADD', due, now + wait + q.grace, q.asker)
  else
    redis.call('ZREM', waiting, q.asker)
    redis.call('ZREM', due, q.asker)
  end
  return wait
end

-- Gives the slot asked for and returns 0, or returns how many seconds to wait before asking again.
local function take()
  -- Whoever asks again has not used what was given: it is given again as of now, unless a pause has begun.
  local given = redis.call('ZREM', slots, q.key) == 1
  redis.call('ZREM', flying, q.key)
  if now < lesson.paused_until then return lesson.paused_until - now end
  -- After a pause one call tries alone whether the platform accepts calls again.
  if lesson.pauses > 0 and redis.call('ZCARD', flying) > 0 then return gap end
  if not given then
    local wait = queue()
    if wait > 0 then return wait end
  end
  redis.call('ZADD', flying, now + q.timeout, q.key)
  redis.call('ZADD', slots, now + q.timeout + q.hold, q.key)
  not_before = math.max(not_before, now + gap)
  return 0
end

local wait = q.ask and take() or 0
redis.call('HSET', state, 'birth', birth, 'offset', string.format('%.6f', offset), 'clock', clock,
  'not_before', not_before, 'most', most, 'late', late, 'lost', lost, 'steps', steps + 1, 'taken', redis.call('ZCARD', slots),
  'lesson', text, 'version', version, 'run', run, 'since', since, 'at', now)
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, q.kept) end

return cjson.encode({
  birth = birth, clock = clock, steps = steps + 1, now = now, version = version, lesson = text, late = late, most = most,
  accepted = redis.call('ZCARD', slots) - redis.call('ZCARD', flying) - redis.call('ZCARD', refused),
  in_use = redis.call('ZCARD', slots), limit = limit, wait = wait, unknown_for = unknown_for,
  next_slot = math.max(free_in(0), unknown_for, not_before - now > gap and not_before - now or 0),
})
