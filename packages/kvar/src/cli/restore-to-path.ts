import { KvarError } from '../errors.ts'
import { restoreFromCopy } from '../keeper/start/copy-restore.ts'
import { restoreToFile } from '../log/restore.ts'
import type { Platform } from '../platform/platform.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { assertFree, makeRoom, placeNew, scratchBeside } from './place-file.ts'
import { Progress } from './progress.ts'
import type { RestoreRequest } from './restore-options.ts'
import { copyPath, withSource } from './restore-source.ts'
import { StoredLogs } from './stored-log.ts'
import type { Invocation } from './verb.ts'
import { countText, timeText } from './words.ts'

type Request = RestoreRequest & { to: string }

/** What came into the new file. */
interface Restored {
  from: string
  version: number | null
  time: string
  pages: number | null
}

const HINT = 'name another file, or say --force: then the file there is moved aside first'

/** Restores into a file of its own, straight from the targets or a copy: no keeper has to know. */
export async function restoreToPath(
  invocation: Invocation,
  request: Request,
  settings: KeeperSettings,
): Promise<number> {
  const { platform, out } = invocation
  refuseDatabase(request.to, settings)
  if (!request.force) assertFree(request.to, HINT, platform)
  const scratch = scratchBeside(request.to, platform)
  try {
    const restored =
      request.from === 'target'
        ? await fromTargets(invocation, request, settings, scratch)
        : await fromCopy(request.from, settings, scratch, platform)
    const aside = request.force ? await makeRoom(request.to, platform) : null
    await placeNew(scratch, request.to, HINT, platform)
    out.done(doneLines(restored, request.to, aside))
    out.summary({ ...restored, to: request.to, aside })
    return 0
  } finally {
    for (const suffix of ['', '-journal', '-wal', '-shm']) await platform.files.remove(scratch + suffix)
  }
}

/** Into the database itself only the keeper may write. */
function refuseDatabase(to: string, { databasePath }: KeeperSettings): void {
  if (to !== databasePath) return
  throw new KvarError('USAGE', '--to names the database itself', {
    hint: 'leave out --to: what is there then stays in the log and can be brought back',
  })
}

async function fromTargets(
  invocation: Invocation,
  request: Request,
  settings: KeeperSettings,
  path: string,
): Promise<Restored> {
  const { platform, out, signal } = invocation
  const logs = new StoredLogs(settings, platform)
  const progress = new Progress(out, platform.clock, 'Restoring')
  try {
    return await withSource(invocation, logs, request, async ({ log, plan }) => {
      const image = await restoreToFile({ log, plan, path, platform, signal, onProgress: progress.update })
      progress.end()
      for (const key of image.damagedKeys) out.tell(`"${key}" on ${log.name} is damaged and was done without`)
      const time = new Date(image.timestampMs).toISOString()
      return { from: log.name, version: image.version, time, pages: image.pageCount }
    })
  } finally {
    progress.end()
    await logs.close()
  }
}

async function fromCopy(
  kind: 'json' | 'backup',
  settings: KeeperSettings,
  databasePath: string,
  platform: Platform,
): Promise<Restored> {
  const path = copyPath(kind, settings.databasePath, platform)
  await restoreFromCopy({ kind, path }, { databasePath, schema: settings.schema, platform })
  const time = new Date(platform.files.statSync(path)?.modifiedAtMs ?? 0).toISOString()
  return { from: path, version: null, time, pages: null }
}

function doneLines(restored: Restored, to: string, aside: string | null): string[] {
  const what = restored.version === null ? 'the copy' : `version ${restored.version}`
  const pages =
    restored.pages === null ? '' : `, ${countText(restored.pages, 'page')}, every checksum verified`
  return [
    `Restored ${what} of ${timeText(restored.time)} to ${to}.`,
    `  from  ${restored.from}${pages}`,
    ...(aside === null ? [] : [`  what was there is kept in ${aside}`]),
  ]
}
