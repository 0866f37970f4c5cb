// Goal: alarms and the metrics port are read as written, wrong ones are refused with the next step, and no
// error shows any part of an address that is a secret as a whole.
// Method: settings resolved from each source, as an app would give them.
import { describe, expect, it } from 'vitest'
import { KvarError } from '../errors.ts'
import { readAlarms } from './alarm-url.ts'
import { resolveSettings } from './settings.ts'

function resolve(input: { options?: object; variables?: Record<string, string>; file?: object }) {
  return resolveSettings({
    databasePath: 'app.db',
    options: input.options ?? {},
    environment: input.variables ?? {},
    workingFolder: '/srv',
    ...(input.file === undefined
      ? {}
      : { configFile: { path: '/etc/app/kvar.config.json', text: JSON.stringify(input.file) } }),
  })
}

function errorOf(act: () => unknown): KvarError {
  try {
    act()
  } catch (thrown) {
    if (thrown instanceof KvarError) return thrown
    throw thrown
  }
  throw new Error('nothing was refused')
}

describe('alarms', () => {
  it('are read from the environment, several of them separated by white space', () => {
    const KVAR_ALARM =
      ' webhook:https://hooks.example/a/b?c=d  ntfy:https://ada:pw@ntfy.example:8443/topic\ncommand:./tell '
    const { alarms, alarmAfterMs } = resolve({ variables: { KVAR_ALARM, KVAR_ALARM_AFTER: '15m' } })
    expect(alarms).toEqual([
      { kind: 'webhook', label: 'the webhook on hooks.example', url: 'https://hooks.example/a/b?c=d' },
      { kind: 'ntfy', label: 'ntfy on ntfy.example:8443', url: 'https://ada:pw@ntfy.example:8443/topic' },
      { kind: 'command', label: 'the command "tell"', path: '/srv/tell' },
    ])
    expect(alarmAfterMs).toBe(900_000)
  })

  it('may name a command with blanks in an option or the file, whose folder it is relative to', () => {
    const { alarms } = resolve({ file: { alarm: ['command:bin/tell them'] } })
    expect(alarms).toEqual([
      { kind: 'command', label: 'the command "tell them"', path: '/etc/app/bin/tell them' },
    ])
  })

  it('are none by default, late for five minutes is fine', () => {
    expect(resolve({})).toMatchObject({ alarms: [], alarmAfterMs: 300_000, logLevel: 'info' })
    expect(resolve({})).not.toHaveProperty('metricsPort')
  })

  const wrong: Array<[why: string, alarm: unknown]> = [
    ['no kind', ['https://hooks.example/S3CRET']],
    ['no URL', ['webhook:S3CRET']],
    ['another protocol', ['webhook:ftp://hooks.example/S3CRET']],
    ['no topic', ['ntfy:https://S3CRET.example/']],
    ['no list', 'webhook:https://hooks.example/S3CRET'],
    ['no text', [{ url: 'https://hooks.example/S3CRET' }]],
    ['too many', Array.from({ length: 9 }, () => 'webhook:https://hooks.example/S3CRET')],
    ['too long', [`webhook:https://hooks.example/S3CRET${'x'.repeat(3000)}`]],
    ['a zero byte', ['command:S3CRET\0']],
  ]
  it.each(wrong)('are refused without showing them: %s', (_why, alarm) => {
    const error = errorOf(() => resolve({ options: { alarm } }))
    expect(error.code).toBe('SETTING_INVALID')
    expect(error.hint).toContain('ntfy:https://')
    expect(JSON.stringify(error.toJSON()) + String(error.cause)).not.toContain('S3CRET')
  })

  it('are refused on a command line', () => {
    const source = { kind: 'argument', label: '--alarm', baseFolder: '/srv' } as const
    const error = errorOf(() => readAlarms({ value: ['webhook:https://hooks.example/S3CRET'], source }))
    expect(error.code).toBe('SECRET_EXPOSED')
    expect(error.message).not.toContain('S3CRET')
  })
})

describe('the metrics port', () => {
  it.each([['9187'], ['127.0.0.1:9187'], ['localhost:9187']])('may be written as %s', (text) => {
    expect(resolve({ variables: { KVAR_METRICS_PORT: text } }).metricsPort).toBe(9187)
    expect(resolve({ options: { metricsPort: text } }).metricsPort).toBe(9187)
  })

  it.each([['0.0.0.0:9187'], ['[::1]:9187'], ['192.0.2.7:9187'], [':9187'], ['app.example:9187']])(
    'is refused for an address that others can reach: %s',
    (text) => {
      const error = errorOf(() => resolve({ variables: { KVAR_METRICS_PORT: text } }))
      expect(error.message).toContain('metrics are given to this machine only')
    },
  )

  it.each([['0'], ['65536'], ['many'], ['9187x']])('is refused when it is none: %s', (text) => {
    expect(errorOf(() => resolve({ variables: { KVAR_METRICS_PORT: text } })).code).toBe('SETTING_INVALID')
  })
})
