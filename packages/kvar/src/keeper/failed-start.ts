import { join } from 'node:path'
import { KvarError, type KvarErrorJson } from '../errors.ts'
import { writeFileAtomically } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'

/** A keeper that could not start has gone when somebody asks why: the reason stays beside its state. */
const NAME = 'failed-start.json'

/** Why the newest start failed, and when. */
export interface FailedStart {
  /** ISO-8601 UTC. */
  at: string
  error: KvarErrorJson
}

export async function noteFailedStart(folder: string, error: KvarError, platform: Platform): Promise<void> {
  const note: FailedStart = { at: new Date(platform.clock.nowMs()).toISOString(), error: error.toJSON() }
  const path = join(folder, NAME)
  await writeFileAtomically(platform.files, path, JSON.stringify(note), { durable: false })
}

/** The newest start succeeded: what an earlier one said holds no more. */
export async function forgetFailedStart(folder: string, platform: Platform): Promise<void> {
  const path = join(folder, NAME)
  if (platform.files.statSync(path) !== undefined) await platform.files.remove(path)
}

/** Undefined when the newest start did not fail, or its note was torn. */
export async function readFailedStart(
  folder: string,
  platform: Platform,
): Promise<{ at: string; error: KvarError } | undefined> {
  const bytes = await platform.files.readFile(join(folder, NAME))
  if (bytes === undefined) return undefined
  try {
    const { at, error } = JSON.parse(new TextDecoder().decode(bytes)) as FailedStart
    return typeof at === 'string' && typeof error.message === 'string'
      ? { at, error: KvarError.fromJSON(error) }
      : undefined
  } catch {
    return undefined
  }
}
