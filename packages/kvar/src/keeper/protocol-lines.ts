import { KvarError } from '../errors.ts'
import type { ClientLine, KeeperLine, KeeperMethod } from './protocol.ts'

/*
 * What comes in over the socket, before anybody believes it. Whoever may open the socket may send
 * anything; a line that is none must neither end the keeper nor the app (R12).
 */

/** A call that can be answered, but not carried out. */
export interface RefusedCall {
  id: number
  problem: KvarError
}

/** Reads a client's line; undefined for what is no line of ours: then the connection is ended. */
export function readClientLine(line: string): ClientLine | RefusedCall | undefined {
  const value = parsed(line)
  if (!isRecord(value)) return undefined
  if ('cancel' in value) return isNumber(value.cancel) ? { cancel: value.cancel } : undefined
  const { id, method, params } = value
  if (!isNumber(id)) return undefined
  if (typeof method !== 'string' || !Object.hasOwn(PARAMS, method)) {
    return { id, problem: refused('There is no such call') }
  }
  const isFit = isRecord(params) && PARAMS[method as KeeperMethod](params)
  return isFit ? (value as ClientLine) : { id, problem: refused(`The call ${method} does not fit`) }
}

/** Reads a keeper's line; undefined for what is none. */
export function readKeeperLine(line: string): KeeperLine | undefined {
  const value = parsed(line)
  if (!isRecord(value)) return undefined
  if ('event' in value) return isEvent(value) ? (value as KeeperLine) : undefined
  if (!isNumber(value.id)) return undefined
  return !('error' in value) || isError(value.error) ? (value as KeeperLine) : undefined
}

function isEvent({ event, data }: Record<string, unknown>): boolean {
  if (event === 'tell') return typeof data === 'string'
  if (event === 'fenced') return isError(data)
  return (event === 'status' || event === 'progress') && isRecord(data)
}

function isError(value: unknown): boolean {
  return (
    isRecord(value) &&
    typeof value.code === 'string' &&
    typeof value.message === 'string' &&
    isRecord(value.data) &&
    isOptional(value.hint, 'string')
  )
}

type Params = Record<string, unknown>

const anything = () => true
const copyParams = ({ path, force }: Params) => isOptional(path, 'string') && isOptional(force, 'boolean')

/** What each call needs so that carrying it out cannot fail for its form. */
const PARAMS: Record<KeeperMethod, (params: Params) => boolean> = {
  hello: isHello,
  flush: anything,
  backupDatabase: anything,
  backupToJson: anything,
  restoreFromJson: copyParams,
  restoreFromBackup: copyParams,
  checkAndRestore: anything,
  status: anything,
  watch: anything,
  versions: ({ limit, details }) => isOptional(limit, 'number') && isOptional(details, 'boolean'),
  drill: ({ target }) => isOptional(target, 'string'),
  branches: anything,
  restore: ({ version, before, branch }) =>
    isOptional(version, 'number') && isOptional(before, 'string') && isOptional(branch, 'string'),
  leave: anything,
}

/** Settings are checked where they are made; here only that they are settings. */
function isHello({ protocol, nonce, settings, role, appRunning, attachOnly }: Params): boolean {
  return (
    isNumber(protocol) &&
    typeof nonce === 'string' &&
    (role === 'app' || role === 'tool') &&
    typeof appRunning === 'boolean' &&
    isOptional(attachOnly, 'boolean') &&
    isRecord(settings) &&
    Array.isArray(settings.targets) &&
    settings.targets.every((target) => isRecord(target) && typeof target.url === 'string')
  )
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isNumber(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

/** JSON has no undefined: what is not said is missing or null. */
function isOptional(value: unknown, type: 'string' | 'number' | 'boolean'): boolean {
  return value === undefined || typeof value === type
}

function refused(sentence: string): KvarError {
  return new KvarError('USAGE', sentence, { hint: 'use the same version of Kvar everywhere' })
}
