package redisstore

import "bellhop/routing/directory"

// Scripts compare versions and set in one step. They are sent as text: a server
// that restarted, or became the master, knows none.

// setBinding stores the bindings of an AOR, KEYS[1], unless what is there is newer.
// ARGV: version, packed bindings, Unix milliseconds until when, channel or "",
// announcement. The value is "1 VERSION PACKED", 1 being the format. What is there
// already is announced all the same: who filled Redis again did not.
const setBinding = `
local was = redis.call('GET', KEYS[1])
if was and (tonumber(string.match(was, '^1 (%d+) ')) or 0) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], '1 ' .. ARGV[1] .. ' ' .. ARGV[2], 'PXAT', ARGV[3])
if ARGV[4] ~= '' then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return 1`

// getCopy returns a copy. KEYS: copy, changes of the domain. ARGV: version that the
// domain must have. It returns 1 when what is known of changes is older, nil when
// there is no copy or something that it depends on changed.
const getCopy = `
local at = redis.call('HMGET', KEYS[2], '@', '@floor')
if not at[1] or tonumber(at[1]) < tonumber(ARGV[1]) then return 1 end
local c = redis.call('HMGET', KEYS[1], 'v', 'd', 'b')
if not c[1] then return false end
local v = tonumber(c[1])
if tonumber(at[2] or 0) > v then return false end
local depends = {}
for name in string.gmatch(c[2], '[^\n]+') do depends[#depends + 1] = name end
if #depends > 0 then
  for _, changed in ipairs(redis.call('HMGET', KEYS[2], unpack(depends))) do
    if changed and tonumber(changed) > v then return false end
  end
end
return c[3]`

// setCopy stores a copy, KEYS[1], unless the one there is newer. ARGV: version,
// what it depends on (lines), the copy, seconds that it is kept.
const setCopy = `
local was = redis.call('HGET', KEYS[1], 'v')
if was and tonumber(was) > tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'd', ARGV[2], 'b', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1`

// applyChanges takes the changes of a domain, KEYS[1], from one version to another
// one, if it has the first. ARGV: from, to, seconds that they are kept, how many are kept
// at most, then names and versions. It returns the version that is there now.
const applyChanges = `
local at = redis.call('HGET', KEYS[1], '@') or '0'
if tonumber(at) ~= tonumber(ARGV[1]) then return at end
for i = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], '@floor', ARGV[2])
end
redis.call('HSET', KEYS[1], '@', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return ARGV[2]`

// forgetCopies makes all copies of a domain, KEYS[1], invalid that are older than a
// version, if it still has another one. ARGV: from, to, seconds. It returns the version
// that is there now.
const forgetCopies = `
local at = redis.call('HGET', KEYS[1], '@') or '0'
if tonumber(at) ~= tonumber(ARGV[1]) then return at end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], '@', ARGV[2], '@floor', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return ARGV[2]`

// beatEpoch counts, and says in what life of Redis, KEYS[1]. ARGV: name of a life if there
// is none, name of the one to replace by it or "".
const beatEpoch = `
local life = redis.call('HGET', KEYS[1], 'life')
if not life or life == ARGV[2] then
  life = ARGV[1]
  redis.call('HSET', KEYS[1], 'life', life)
end
return {life, redis.call('HINCRBY', KEYS[1], 'n', 1)}`

// epochShift leaves 40 bits of a version for n: both together fit the numbers of
// scripts, 53 bits.
const epochShift = 40

// number is a version as scripts compare it.
func number(v directory.Version) uint64 { return uint64(v.Epoch)<<epochShift | v.N&(1<<epochShift-1) }

// version is the reverse of number.
func version(n uint64) directory.Version {
	return directory.Version{Epoch: uint32(n >> epochShift), N: n & (1<<epochShift - 1)}
}
