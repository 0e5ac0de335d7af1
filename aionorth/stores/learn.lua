-- Replaces what refusals have taught, unless somebody else has done so meanwhile; tells whether it did.
--
-- KEYS: state (hash). ARGV: the version it replaces, the lesson as JSON, whether an episode began (1), whether all is
-- forgotten (1), seconds on the app's clock before which no call may be sent.

local state = KEYS[1]
if (tonumber(redis.call('HGET', state, 'version')) or 0) ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', state, 'lesson', ARGV[2], 'version', tonumber(ARGV[1]) + 1)
if ARGV[3] == '1' then
  redis.call('HSET', state, 'late', 0)
  if tonumber(ARGV[5]) > (tonumber(redis.call('HGET', state, 'not_before')) or 0) then
    redis.call('HSET', state, 'not_before', ARGV[5])
  end
end
if ARGV[4] == '1' then redis.call('HSET', state, 'most', 0) end
return 1
