// Races between processes of their own, for targets that are opened by URL.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

type Outcome = 'created' | 'exists'

/**
 * Starts the racers, lets them go in one moment, and turns their answers from by-process to by-key.
 *
 * @param secrets environment variables that the target takes its secrets from
 */
export async function raceProcesses(
  url: string,
  keys: string[],
  options: { racers: number; secrets: Record<string, string> },
): Promise<Outcome[][]> {
  const script = join(import.meta.dirname, 'url-racer.ts')
  const racers = Array.from({ length: options.racers }, (_, number) => {
    const child = spawn(process.execPath, [script, url, String(number), ...keys], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...options.secrets },
    })
    return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() }
  })
  try {
    for (const { lines } of racers) await lines.next()
    for (const { child } of racers) child.stdin.write('go\n')
    const answers = await Promise.all(
      racers.map(async ({ child, lines }) => {
        const { value } = await lines.next()
        if (child.exitCode === null) await once(child, 'exit')
        return JSON.parse(value as string) as Outcome[]
      }),
    )
    return keys.map((_, index) => answers.map((answer) => answer[index] as Outcome))
  } finally {
    for (const { child } of racers) child.kill('SIGKILL')
  }
}
