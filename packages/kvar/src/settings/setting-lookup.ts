import { dirname } from 'node:path'
import * as v from 'valibot'
import type { PersistentDbOptions } from '../persistence-types.ts'
import type { KeeperLimits, KeepSettings } from './keeper-settings.ts'
import { nearestName } from './nearest-name.ts'
import { type SettingSource, settingInvalid } from './setting-source.ts'
import { SETTING_TABLE, type SettingName } from './setting-table.ts'

export interface SettingsInput {
  /** As the caller wrote it; relative to `workingFolder`. */
  databasePath?: string
  options: SettingOptions
  /** `command-line`: the options came from argv, where secrets are refused. */
  optionsFrom?: 'code' | 'command-line'
  environment: Record<string, string | undefined>
  /** The nearest `kvar.config.json`, if there is one. */
  configFile?: { path: string; text: string }
  /** Absolute. */
  workingFolder: string
}

/** What options may say: more than `createPersistentDb` offers, for the command line. */
export interface SettingOptions extends PersistentDbOptions {
  ledger?: string
  keep?: Partial<KeepSettings>
  limits?: Partial<KeeperLimits>
}

/** A value and where it was found. */
export interface Found {
  value: unknown
  source: SettingSource
}

export type LookUp = (name: SettingName) => Found | undefined

/** A function that finds a setting at its first source (option, variable, file) and checks its form. */
export function settingLookup(input: SettingsInput): LookUp {
  const file = readConfigFile(input)
  return (name) => {
    const found = fromOptions(name, input) ?? fromEnvironment(name, input) ?? fromFile(name, file, input)
    if (found === undefined) return undefined
    const { schema, allowed, innerNames } = SETTING_TABLE[name]
    return { value: validate(schema, found, `allowed: ${allowed}`, innerNames ?? []), source: found.source }
  }
}

function fromOptions(name: SettingName, input: SettingsInput): Found | undefined {
  const value = name === 'database' ? input.databasePath : input.options[name]
  if (value === undefined) return undefined
  const isArgument = input.optionsFrom === 'command-line'
  const flag = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  const label = name === 'database' ? 'the database path' : isArgument ? `--${flag}` : `option "${name}"`
  return {
    value,
    source: { kind: isArgument ? 'argument' : 'option', label, baseFolder: input.workingFolder },
  }
}

/** An empty variable counts as unset: that is how compose files and service managers write "none". */
function fromEnvironment(name: SettingName, input: SettingsInput): Found | undefined {
  const { variable, fromText } = SETTING_TABLE[name]
  const text = variable === undefined ? undefined : input.environment[variable]
  if (variable === undefined || text === undefined || text.trim() === '') return undefined
  const source = {
    kind: 'variable',
    label: `the variable ${variable}`,
    baseFolder: input.workingFolder,
  } as const
  return { value: fromText === undefined ? text.trim() : fromText(text), source }
}

function fromFile(name: SettingName, file: Record<string, unknown>, input: SettingsInput): Found | undefined {
  const value = file[name]
  if (value === undefined || input.configFile === undefined) return undefined
  return { value, source: fileSource(`"${name}" in ${input.configFile.path}`, input.configFile.path) }
}

const NAMES = Object.keys(SETTING_TABLE)
const CONFIG_FILE = v.strictObject(Object.fromEntries(NAMES.map((name) => [name, v.optional(v.unknown())])))

function readConfigFile({ configFile }: SettingsInput): Record<string, unknown> {
  if (configFile === undefined) return {}
  const source = fileSource(configFile.path, configFile.path)
  const found = { value: parseJson(configFile.text, source), source }
  const hint = `write one JSON object with any of: ${NAMES.join(', ')}`
  return validate(CONFIG_FILE, found, hint, NAMES) as Record<string, unknown>
}

function parseJson(text: string, source: SettingSource): unknown {
  const value = parsedOrUndefined(text)
  if (value === undefined) {
    throw settingInvalid(source, 'it is not valid JSON', 'look for a missing comma, quote or brace')
  }
  return Array.isArray(value) ? 'a list' : value
}

/** Without the parser's own error as a cause: its message quotes the text, which may hold a password. */
function parsedOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function fileSource(label: string, path: string): SettingSource {
  return { kind: 'file', label, baseFolder: dirname(path) }
}

/** Checks a value's form; the first thing that is wrong becomes the error. */
function validate(schema: v.GenericSchema, { value, source }: Found, hint: string, names: string[]): unknown {
  const result = v.safeParse(schema, value)
  if (result.success) return result.output
  const [issue] = result.issues
  const keys = issue.path?.map((step) => String(step.key).slice(0, 60)) ?? []
  // Valibot's way of saying that an object has a key that its schema does not know.
  if (issue.expected === 'never') throw unknownName(source, keys.join('.'), hint, names)
  const place = keys.length === 0 ? '' : ` at ${keys.join('.')}`
  throw settingInvalid(source, `${shown(issue.input)}${place} is not allowed`, hint)
}

/** The error for a name that no setting has, with the one that was most likely meant. */
export function unknownName(source: SettingSource, name: string, hint: string, names: string[]) {
  const near = nearestName(name, names)
  return settingInvalid(source, `there is no setting "${name}"`, near ? `did you mean "${near}"?` : hint)
}

/** A wrong value as an error may show it: short, and never a text that may hold a password. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  if (text.includes('@') || text.includes('?')) return 'the value'
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
