import { KvarError, toKvarError } from '../errors.ts'
import { StateStore } from '../keeper/state-store.ts'
import {
  BROKEN_FENCES,
  type BrokenFence,
  cannotBeLedger,
  type TargetInUse,
  TargetSet,
} from '../keeper/target-set.ts'
import { readLineage } from '../log/lineage.ts'
import { PROOF_PREFIX } from '../log/log-layout.ts'
import { VersionLog } from '../log/version-log.ts'
import type { Platform } from '../platform/platform.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { stateFolder } from '../settings/names.ts'
import { probeFence } from '../targets/fence-probe.ts'
import { readAll, type Target } from '../targets/target.ts'
import { bad, type Check, care, good } from './doctor.ts'
import { explainError } from './explain-error.ts'
import type { Invocation } from './verb.ts'
import { durationText, timeText } from './words.ts'

/** Tries of one call: a doctor tells what happens, a keeper would go on trying. */
const TRIES = 2
const OBJECT_BYTES = 1024

/** Every target: what it can do, tried with objects of our own that are gone again afterwards. */
export async function* checkTargets(
  { platform }: Pick<Invocation, 'platform'>,
  settings: KeeperSettings,
): AsyncGenerator<Check> {
  if (settings.targets.length === 0) {
    return yield care(
      'target',
      'No target is set: only copies beside the database are kept.',
      'name a place on another disk or machine with KVAR_TARGETS',
    )
  }
  const set = new TargetSet({ ...settings, limits: { ...settings.limits, targetTries: TRIES } }, platform)
  const lineage = await ownLineage(settings, platform)
  try {
    for (const one of set.all) yield* checkTarget(one, { set, lineage, platform })
  } finally {
    await set.close()
  }
}

/** Undefined when nobody has protected the database here yet. */
async function ownLineage({ databasePath }: KeeperSettings, platform: Platform): Promise<string | undefined> {
  const saved = await new StateStore(stateFolder(databasePath), platform).load().catch(() => undefined)
  return saved?.memory.lineage
}

interface Context {
  set: TargetSet
  lineage: string | undefined
  platform: Platform
}

async function* checkTarget(one: TargetInUse, context: Context): AsyncGenerator<Check> {
  const { set, platform } = context
  const { path } = one.setting
  if (path !== undefined && platform.files.statSync(path) === undefined) {
    return yield care(
      'target',
      `${one.url}: there is no folder "${path}" yet.`,
      'if a disk belongs there, mount it first; otherwise the first start makes the folder',
    )
  }
  try {
    const target = await one.open()
    yield* tryVerbs(target, roleOf(one, set), platform)
    yield* checkLog(target, context)
    if (set.isOnDatabaseDisk(one)) {
      yield care(
        'target',
        `${one.url} lies on the database’s own disk: what destroys the one destroys the other.`,
        'add a target on another disk or machine',
      )
    }
  } catch (thrown) {
    yield bad('target', explainError(thrown))
  }
}

type Role = 'ledger' | 'alone' | 'follower'

function roleOf(one: TargetInUse, { all, ledger }: TargetSet): Role {
  if (one !== ledger) return 'follower'
  return all.length === 1 ? 'alone' : 'ledger'
}

/** Reach, create, read, range, list, remove and conflict, each one seen to work. */
async function* tryVerbs(target: Target, role: Role, platform: Platform): AsyncGenerator<Check> {
  const key = PROOF_PREFIX + Buffer.from(platform.random.bytes(16)).toString('hex')
  const body = platform.random.bytes(OBJECT_BYTES)
  const begunMs = platform.clock.monotonicMs()
  const options = { modifiedAtMs: platform.clock.nowMs() }
  try {
    if ((await target.create(key, body, options)) !== 'created')
      throw broken(target, 'a new object was refused')
    await assertReads(target, key, body)
    if (!(await isListed(target, key))) throw broken(target, 'a new object is not listed')
  } finally {
    await target.remove([key])
  }
  if ((await readAll(target, key)) !== undefined) throw broken(target, 'a removed object can still be read')
  const took = Math.round(platform.clock.monotonicMs() - begunMs)
  yield good(
    'target',
    `${target.url}: creates, reads, lists and removes (${took} ms for all of it)${role === 'follower' ? '' : '; it is the ledger'}.`,
  )
  yield* judgeConflict(target, role, platform)
}

async function* judgeConflict(target: Target, role: Role, platform: Platform): AsyncGenerator<Check> {
  const proof = await probeFence(target, { platform, prefix: PROOF_PREFIX })
  if (proof === 'refuses' && target.capabilities.createIfAbsent === 'atomic') return
  const seen: BrokenFence = proof === 'refuses' ? 'checked' : proof
  const sentence = `${target.url} ${BROKEN_FENCES[seen]}`
  if (role === 'follower') yield care('target', `${sentence}; it can only follow another target.`)
  else if (role === 'alone' && seen === 'checked') {
    const mend =
      'let only one app write there, and stop it before a new one starts; or put another target first'
    yield care('target', `${sentence}; it can follow another target, or be the only one.`, mend)
  } else yield bad('target', cannotBeLedger(target.url, seen))
}

async function assertReads(target: Target, key: string, body: Uint8Array): Promise<void> {
  const whole = await readAll(target, key)
  if (whole === undefined) throw broken(target, 'a new object cannot be read')
  if (Buffer.compare(whole, body) !== 0) throw broken(target, 'an object came back changed')
  if (!target.capabilities.rangeRead) return
  const part: Uint8Array[] = []
  for await (const chunk of (await target.read(key, { range: { offset: 100, length: 50 } })) ?? [])
    part.push(chunk)
  if (Buffer.compare(Buffer.concat(part), whole.subarray(100, 150)) !== 0)
    throw broken(target, 'a part of an object came back wrong')
}

async function isListed(target: Target, key: string): Promise<boolean> {
  for await (const entry of target.list(PROOF_PREFIX)) if (entry.key === key) return true
  return target.capabilities.listConsistency === 'eventual'
}

/** Whose log lies there, and how new it is. */
async function* checkLog(target: Target, { lineage, platform }: Context): AsyncGenerator<Check> {
  try {
    const found = await readLineage(target)
    const head = await new VersionLog(target).findHead()
    if (head === undefined) return yield good('target', `${target.url} holds no version yet.`)
    const age = durationText(platform.clock.nowMs() - head.timestampMs)
    yield good(
      'target',
      `${target.url} holds version ${head.version} of ${timeText(head.timestampMs)} (${age} old), lineage ${found?.lineage ?? 'unknown'}.`,
    )
    if (found === undefined) {
      yield care(
        'target',
        `${target.url} does not say whose log it holds.`,
        'it is noted again when the keeper starts',
      )
    } else if (lineage !== undefined && found.lineage !== lineage) {
      yield bad(
        'target',
        new KvarError('LINEAGE_MISMATCH', `${target.url} holds the log of another database`, {
          hint: 'give every database a target or prefix of its own',
        }),
      )
    }
  } catch (thrown) {
    const error = toKvarError(thrown)
    const hint = error.hint ?? 'see what is left with: kvar verify --data'
    yield bad('target', new KvarError(error.code, error.message, { hint, cause: thrown }))
  }
}

function broken(target: Target, what: string): KvarError {
  return new KvarError('TARGET_PERMANENT', `${target.url} does not do what a target must: ${what}`, {
    hint: 'look at the provider’s settings, or choose another place',
  })
}
