import { spawn } from 'node:child_process'
import { KvarError } from '../errors.ts'
import { systemErrorCode } from './files.ts'
import { environmentWithoutSecrets } from './processes.ts'

/**
 * Runs a program to its end, without a shell and without arguments: what it needs to know stands in
 * variables, so nothing can be misquoted. Its output is nobody's.
 *
 * @param options.variables added to the few harmless ones that programs need (PATH, HOME, …)
 * @param options.timeoutMs after this it is killed
 * @throws KvarError `NOT_FOUND`, `TARGET_DENIED` when it may not be executed, `TARGET_TEMPORARY` when it failed
 */
export function runShortCommand(options: {
  path: string
  variables: Record<string, string>
  timeoutMs: number
}): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(options.path, [], {
      stdio: 'ignore',
      env: { ...environmentWithoutSecrets(), ...options.variables },
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
    })
    child.once('error', (thrown) => reject(cannotStart(systemErrorCode(thrown))))
    child.once('exit', (code, signal) => {
      if (code === 0) resolve()
      else
        reject(
          new KvarError(
            'TARGET_TEMPORARY',
            signal === null ? `it ended with ${code}` : `it died of ${signal}`,
          ),
        )
    })
  })
}

function cannotStart(code: string | undefined): KvarError {
  if (code === 'ENOENT') return new KvarError('NOT_FOUND', 'there is no such program')
  if (code === 'EACCES') return new KvarError('TARGET_DENIED', 'it may not be executed')
  return new KvarError('TARGET_TEMPORARY', 'it cannot be started')
}
