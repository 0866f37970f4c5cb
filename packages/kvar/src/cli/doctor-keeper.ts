import { basename } from 'node:path'
import { KvarError } from '../errors.ts'
import type { KeeperStatus } from '../keeper/status.ts'
import { processesHolding } from '../platform/processes.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { bad, type Check, care, good } from './doctor.ts'
import { explainError } from './explain-error.ts'
import { attachKeeper } from './keeper-access.ts'
import type { Invocation } from './verb.ts'

/** Whether somebody protects the database, and what that somebody says. */
export async function* checkKeeper(invocation: Invocation, settings: KeeperSettings): AsyncGenerator<Check> {
  const status = await askKeeper(invocation, settings)
  if (status instanceof KvarError) return yield bad('keeper', status)
  if (status === undefined) return yield* withoutKeeper(settings)
  const { processId, version } = status.keeper
  yield good(
    'keeper',
    `A keeper runs (process ${processId}, Kvar ${version}), capturing by ${status.captureMode}.`,
  )
  if (status.safety === 'not-safe') {
    const { problem } = status
    const code = problem?.code ?? 'ASSERTION'
    yield { subject: 'keeper', state: 'bad', sentence: status.sentence, mend: problem?.hint ?? null, code }
  } else yield { ...good('keeper', status.sentence), state: status.safety === 'safe' ? 'good' : 'care' }
  for (const note of status.notes) yield care('keeper', note)
  if (status.branches > 0) yield care('keeper', 'Content was kept aside.', 'see kvar branches')
}

async function askKeeper(
  invocation: Invocation,
  settings: KeeperSettings,
): Promise<KeeperStatus | KvarError | undefined> {
  try {
    const client = await attachKeeper(invocation, { ...settings, targets: [] }, {}, false)
    if (client === undefined) return undefined
    const status = await client.call('status', {})
    client.detach()
    return status
  } catch (thrown) {
    return explainError(thrown)
  }
}

function* withoutKeeper({ databasePath }: KeeperSettings): Generator<Check> {
  const [holder] = processesHolding(databasePath)
  const name = basename(databasePath)
  yield holder === undefined
    ? care(
        'keeper',
        `No keeper runs, so nothing protects "${name}" now.`,
        'start the app with: kvar run -- COMMAND, or with createPersistentDb',
      )
    : bad(
        'keeper',
        new KvarError('HELD', `Process ${holder} has "${name}" open, and no keeper protects it`, {
          hint: 'stop it and start it with: kvar run -- COMMAND',
        }),
      )
}
