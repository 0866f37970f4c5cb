import { resolve } from 'node:path'
import { readAlarms } from './alarm-url.ts'
import { parseDuration } from './duration.ts'
import { DEFAULT_ALARM_AFTER, DEFAULT_KEEP, DEFAULT_LIMITS, type KeeperSettings } from './keeper-settings.ts'
import { readMetricsPort } from './metrics-port.ts'
import { editDistance } from './nearest-name.ts'
import { type Found, type SettingsInput, settingLookup, unknownName } from './setting-lookup.ts'
import { type SettingSource, settingInvalid } from './setting-source.ts'
import { APP_ONLY_OPTIONS, SETTING_TABLE } from './setting-table.ts'
import { TARGET_SCHEMES } from './target-schemes.ts'
import { parseTargetUrl, type TargetSetting } from './target-url.ts'

export type { CopyKind, KeeperLimits, KeeperSettings, KeepSettings } from './keeper-settings.ts'
export type { SettingOptions, SettingsInput } from './setting-lookup.ts'
export type { TargetSetting } from './target-url.ts'

/**
 * Brings options, environment, `kvar.config.json` and defaults together, in this order, into one
 * complete and checked object. Pure: it reads nothing but its input.
 *
 * @throws KvarError `SETTING_INVALID` with origin, fault and what is allowed; `SECRET_EXPOSED`
 * @example
 * const settings = resolveSettings({
 *   databasePath: 'app.db', options: {}, environment: { KVAR_TARGETS: 'folder:/mnt/usb/app' }, workingFolder: '/srv',
 * })
 * settings.databasePath // '/srv/app.db'
 */
export function resolveSettings(input: SettingsInput): KeeperSettings {
  refuseUnknownOptions(input)
  refuseMistypedVariables(input)
  const lookUp = settingLookup(input)
  const targets = readTargets(lookUp('targets'), input)
  const ledger = readLedger(lookUp('ledger'), targets, input)
  const schema = lookUp('schema')?.value as string | undefined
  const metricsPort = readMetricsPort(lookUp('metricsPort'))
  return {
    databasePath: readDatabasePath(lookUp('database'), input),
    targets,
    durable: valueOr(lookUp('durable'), 'ledger'),
    copies: [...new Set(valueOr<KeeperSettings['copies']>(lookUp('copies'), ['json', 'backup']))],
    intervalMs: durationMs(valueOr(lookUp('interval'), '1s')),
    startTimeoutMs: durationMs(valueOr(lookUp('startTimeout'), '30s')),
    onUnreachable: valueOr(lookUp('onUnreachable'), 'fail'),
    keep: { ...DEFAULT_KEEP, ...valueOr(lookUp('keep'), {}) },
    limits: { ...DEFAULT_LIMITS, ...valueOr(lookUp('limits'), {}) },
    logLevel: valueOr(lookUp('logLevel'), 'info'),
    alarms: readAlarms(lookUp('alarm')),
    alarmAfterMs: durationMs(valueOr(lookUp('alarmAfter'), DEFAULT_ALARM_AFTER)),
    ...(metricsPort === undefined ? {} : { metricsPort }),
    ...(ledger === undefined ? {} : { ledger }),
    ...(schema === undefined ? {} : { schema }),
  }
}

/** The value's form was checked by the setting's schema, which is why the type may be claimed here. */
function valueOr<T>(found: Found | undefined, otherwise: T): T {
  return found === undefined ? otherwise : (found.value as T)
}

function durationMs(text: string): number {
  return parseDuration(text) as number
}

function readDatabasePath(found: Found | undefined, input: SettingsInput): string {
  const hint =
    'name the SQLite file: in the call, in the variable KVAR_DB or as "database" in kvar.config.json'
  const nowhere: SettingSource = { kind: 'default', label: 'the settings', baseFolder: input.workingFolder }
  if (found === undefined) throw settingInvalid(nowhere, 'they do not say which database to protect', hint)
  const path = found.value as string
  if (path === ':memory:')
    throw settingInvalid(found.source, 'a database in memory cannot be protected', hint)
  if (path.includes('\0')) throw settingInvalid(found.source, 'the path holds a zero byte', hint)
  if (/^file:/i.test(path)) {
    throw settingInvalid(
      found.source,
      'it is a URL, and a plain path is needed',
      'leave out "file:" and "?…"',
    )
  }
  return resolve(found.source.baseFolder, path)
}

function readTargets(found: Found | undefined, input: SettingsInput): TargetSetting[] {
  if (found === undefined) return []
  const context = { source: found.source, environment: input.environment }
  const targets = (found.value as string[]).map((url) => parseTargetUrl(url, context))
  const repeated = targets.find(({ url }, index) => targets.findIndex((other) => other.url === url) < index)
  if (repeated !== undefined) {
    throw settingInvalid(found.source, `${repeated.url} is listed twice`, 'list every target once')
  }
  return targets
}

function readLedger(
  found: Found | undefined,
  targets: TargetSetting[],
  input: SettingsInput,
): string | undefined {
  if (found === undefined) return undefined
  const { url } = parseTargetUrl(found.value as string, {
    source: found.source,
    environment: input.environment,
  })
  if (targets.some((target) => target.url === url)) return url
  const known = targets.map((target) => target.url).join(', ') || 'there are none'
  throw settingInvalid(found.source, `${url} is not one of the targets`, `the targets are: ${known}`)
}

/** A mistyped option in plain JavaScript must not silently mean "no targets". */
function refuseUnknownOptions({ options, optionsFrom, workingFolder }: SettingsInput): void {
  const { database: _, ...rows } = SETTING_TABLE
  const names = [...Object.keys(rows), ...APP_ONLY_OPTIONS]
  const unknown = Object.keys(options).find((name) => !names.includes(name))
  if (unknown === undefined) return
  const kind = optionsFrom === 'command-line' ? 'argument' : 'option'
  const source: SettingSource = { kind, label: 'the options', baseFolder: workingFolder }
  throw unknownName(source, unknown, `known are: ${names.join(', ')}`, names)
}

/**
 * `KVAR_TARGET` for `KVAR_TARGETS` would protect nothing and say nothing. Only names one letter off
 * are refused: other programs may have variables of their own that begin with `KVAR_`.
 */
function refuseMistypedVariables({ environment, workingFolder }: SettingsInput): void {
  const known = knownVariables()
  const names = Object.keys(environment).filter((name) => name.startsWith('KVAR_') && name.length <= 64)
  for (const name of names.filter((candidate) => !known.includes(candidate))) {
    const meant = known.find((candidate) => editDistance(candidate, name) === 1)
    if (meant === undefined) continue
    const source: SettingSource = {
      kind: 'variable',
      label: `the variable ${name}`,
      baseFolder: workingFolder,
    }
    throw settingInvalid(source, 'there is no such setting', `did you mean ${meant}?`)
  }
}

function knownVariables(): string[] {
  const ofSettings = Object.values(SETTING_TABLE).flatMap(({ variable }) => variable ?? [])
  const ofSecrets = Object.values(TARGET_SCHEMES).flatMap(({ secrets }) => Object.values(secrets).flat())
  return [...ofSettings, ...ofSecrets]
}
