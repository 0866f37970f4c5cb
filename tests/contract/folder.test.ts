// Goal: the folder target keeps the contract, alone and inside all wrappers at once, on a file system with
// links and on one without. Method: the shared suite on temporary folders; the file system without
// links is the real one with a `link` that answers "unsupported".

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Platform } from '../../packages/kvar/src/platform/platform.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { createFolderTarget } from '../../packages/kvar/src/targets/folder/folder-target.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { withFaults } from '../../packages/kvar/src/targets/wrappers/faulty-target.ts'
import { withMetering } from '../../packages/kvar/src/targets/wrappers/metering-target.ts'
import { withRetries } from '../../packages/kvar/src/targets/wrappers/retrying-target.ts'
import { type ContractSubject, describeTargetContract } from './target-contract.ts'

const RACERS = 4
const withoutLinks: Platform = {
  ...systemPlatform,
  files: { ...systemPlatform.files, link: async () => 'unsupported' },
}

async function openFolder(
  wrap: (target: Target) => Target,
  platform = systemPlatform,
): Promise<ContractSubject> {
  const path = await mkdtemp(join(tmpdir(), 'kvar-contract-'))
  const open = async () => wrap(await createFolderTarget({ path, platform }))
  return {
    target: await open(),
    reopen: open,
    ...(platform === systemPlatform ? { race: (keys: string[]) => race(path, keys) } : {}),
    dispose: () => rm(path, { recursive: true }),
  }
}

/** Starts the racers, lets them go in one moment, and turns their answers from by-process to by-key. */
async function race(path: string, keys: string[]): Promise<Array<Array<'created' | 'exists'>>> {
  const racers = Array.from({ length: RACERS }, (_, number) => {
    const script = join(import.meta.dirname, 'folder-racer.ts')
    const child = spawn(process.execPath, [script, path, String(number), ...keys], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() }
  })
  for (const { lines } of racers) await lines.next()
  for (const { child } of racers) child.stdin.write('go\n')
  const answers = await Promise.all(
    racers.map(async ({ child, lines }) => {
      const { value } = await lines.next()
      if (child.exitCode === null) await once(child, 'exit')
      return JSON.parse(value as string) as Array<'created' | 'exists'>
    }),
  )
  return keys.map((_, index) => answers.map((answer) => answer[index] as 'created' | 'exists'))
}

const { clock } = systemPlatform
describeTargetContract('folder', () => openFolder((target) => target))
describeTargetContract('folder without links', () => openFolder((target) => target, withoutLinks))
describeTargetContract('folder, all wrappers', () =>
  openFolder((target) =>
    withRetries(withMetering(withFaults(target, { clock })), { platform: systemPlatform }),
  ),
)
