import { basename, resolve } from 'node:path'
import { Argument, type Command } from 'commander'
import { writeJsonCopy } from '../copies/json-copy.ts'
import { readJsonStamp } from '../copies/json-stamp.ts'
import { isOurJson, setAsideForeign } from '../copies/ownership.ts'
import type { KeeperClient } from '../keeper/client.ts'
import { readEnvironment } from '../platform/environment.ts'
import { syncFile } from '../platform/files.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { jsonCopyPath } from '../settings/names.ts'
import { unlessCancelled } from './cancelled.ts'
import { makeExportImage } from './export-image.ts'
import { attachKeeper } from './keeper-access.ts'
import { assertFree, placeNew, scratchBeside } from './place-file.ts'
import { type Act, examples, type Invocation } from './verb.ts'
import { bytesText } from './words.ts'

interface ExportOptions {
  to?: string
}

interface Exported {
  path: string
  /** The version that the file shows; null for content that no version holds yet. */
  version: number | null
  /** Whose content it is, in words. */
  source: string
}

const HINT = 'name another file with --to'

export function configure(command: Command, act: Act): void {
  command
    .addArgument(new Argument('<kind>', 'the form to write').choices(['json']))
    .option('--to <file>', 'a new file (default: the JSON copy beside the database)')
    .addHelpText('after', examples('kvar export json --to family-2026-11-23.json'))
    .action(act(exportDatabase))
}

/**
 * Never starts a keeper: exporting on a second machine must not take the log over from the one that
 * runs the app.
 */
async function exportDatabase(invocation: Invocation<ExportOptions>): Promise<number> {
  const { out, platform, options, signal } = invocation
  const settings = await invocation.settings()
  const to = options.to === undefined ? undefined : resolve(readEnvironment().workingFolder, options.to)
  if (to !== undefined) assertFree(to, HINT, platform)
  const client = await attachKeeper(invocation, settings)
  const work =
    client === undefined ? exportAlone(invocation, settings, to) : throughKeeper(invocation, client, to)
  const exported = await unlessCancelled(work, signal)
  const sizeBytes = platform.files.statSync(exported.path)?.sizeBytes ?? 0
  out.done([`Wrote ${exported.path} (${bytesText(sizeBytes)}): ${exported.source}.`])
  out.summary({ path: exported.path, version: exported.version, sizeBytes })
  return 0
}

async function throughKeeper(
  { platform }: Invocation,
  client: KeeperClient,
  to: string | undefined,
): Promise<Exported> {
  const { path, version } = await client.call('backupToJson', {})
  client.detach()
  const written = { version: version === 0 ? null : version, source: shown(version) }
  if (to === undefined) return { path, ...written }
  const scratch = scratchBeside(to, platform)
  try {
    await platform.files.copyFile(path, scratch)
    await syncFile(platform.files, scratch)
    await placeNew(scratch, to, HINT, platform)
  } finally {
    await platform.files.remove(scratch)
  }
  return { path: to, ...written }
}

function shown(version: number): string {
  return version === 0 ? 'everything committed until now' : `version ${version}`
}

async function exportAlone(
  invocation: Invocation,
  settings: KeeperSettings,
  to: string | undefined,
): Promise<Exported> {
  const { platform } = invocation
  const path = to ?? jsonCopyPath(settings.databasePath)
  const imagePath = scratchBeside(path, platform)
  const outPath = scratchBeside(path, platform)
  try {
    const { stamp, source } = await makeExportImage(invocation, settings, imagePath)
    const { skipped } = await writeJsonCopy({ imagePath, outPath, stamp, platform })
    for (const sentence of skipped) invocation.out.tell(`left out: ${sentence}`)
    if (to === undefined) await makeRoomForCopy(invocation, path, stamp.lineage)
    await placeNew(outPath, path, HINT, platform)
    return { path, version: stamp.version === 0 ? null : stamp.version, source }
  } finally {
    for (const scratch of [imagePath, outPath]) await platform.files.remove(scratch)
  }
}

/** Our own older copy makes way for the newer one; a file of somebody else is renamed aside (R2). */
async function makeRoomForCopy({ out, platform }: Invocation, path: string, lineage: string): Promise<void> {
  const isOurs = isOurJson(await readJsonStamp(path, platform), lineage)
  const timeMs = platform.clock.nowMs()
  const aside = await setAsideForeign({ path, isOurs, timeMs, platform })
  if (aside !== undefined)
    out.tell(`${basename(path)} was not written by Kvar for this database: kept as ${aside}`)
  if (isOurs) await platform.files.remove(path)
}
