import { resolve } from 'node:path'
import { KvarError } from '../errors.ts'
import { nearestName } from './nearest-name.ts'
import { type SettingSource, settingInvalid } from './setting-source.ts'
import { isTargetScheme, knownSchemes, type SchemeRules, TARGET_SCHEMES } from './target-schemes.ts'

/**
 * One target as settings name it. Plain JSON: it travels over the keeper's socket, and only there;
 * `url` may be shown to anybody, `secrets` to nobody.
 */
export interface TargetSetting {
  /** Canonical: two settings that mean the same place have the same URL. Holds no secrets. */
  url: string
  scheme: string
  /** Absolute; only where the scheme names a path of this machine. */
  path?: string
  parameters: Record<string, string>
  secrets: Record<string, string>
}

export interface TargetUrlContext {
  source: SettingSource
  environment: Record<string, string | undefined>
  /** The schemes to accept; tests hand in invented ones. */
  schemes?: Record<string, SchemeRules>
}

/** The parts of `scheme:[//[user[:password]@]host]path[?query]`. */
interface UrlParts {
  scheme: string
  authority: string | undefined
  user: string | undefined
  password: string | undefined
  path: string
  query: URLSearchParams
}

const URL_PATTERN = /^([A-Za-z][A-Za-z0-9+.-]*):(?:\/\/([^/?]*)(?=[/?]|$))?([^?]*)(?:\?(.*))?$/s
const SECRET_NAME = /pass|secret|token|credential|private|(^|[_-])key$/i

/**
 * Reads a target's URL and gathers its secrets from the URL and the environment.
 *
 * @throws KvarError `SETTING_INVALID`, or `SECRET_EXPOSED` when a secret stands on a command line
 * @example
 * parseTargetUrl('folder:../backup', { source, environment: {} }).url // 'folder:/srv/backup'
 */
export function parseTargetUrl(text: string, context: TargetUrlContext): TargetSetting {
  const parts = splitUrl(text, context)
  const rules = findRules(parts.scheme, context)
  if (context.source.kind === 'argument') refuseExposedSecrets(parts, rules)
  if (rules === undefined) {
    throw settingInvalid(
      context.source,
      `"${parts.scheme}:" is not a kind of target`,
      `known are ${knownSchemes()}`,
    )
  }
  const { parameters, secrets } = readParameters(parts, rules, context)
  if (!rules.isLocalPath)
    return { url: remoteUrl(parts, parameters), scheme: parts.scheme, parameters, secrets }
  const path = readLocalPath(parts, context)
  return { url: folderUrl(path), scheme: parts.scheme, path, parameters, secrets }
}

/** The canonical URL of a folder target. Characters that end a path or a list of targets are percent-encoded. */
export function folderUrl(path: string): string {
  return `folder:${path.replaceAll(/[\s%?#\p{Cc}]/gu, (character) => encodeURIComponent(character))}`
}

function splitUrl(text: string, { source }: TargetUrlContext): UrlParts {
  const match = URL_PATTERN.exec(text)
  if (match === null) {
    const shown = text.includes('@') ? 'a target' : JSON.stringify(text.slice(0, 80))
    throw settingInvalid(
      source,
      `${shown} does not say what kind of target it is`,
      `known are ${knownSchemes()}`,
    )
  }
  const [, scheme, authority, path, query] = match
  const userInfo = authority?.includes('@') ? authority.slice(0, authority.lastIndexOf('@')) : undefined
  const colon = userInfo?.indexOf(':') ?? -1
  return {
    scheme: (scheme as string).toLowerCase(),
    authority: userInfo === undefined ? authority : authority?.slice(userInfo.length + 1),
    user: colon === -1 ? userInfo : userInfo?.slice(0, colon),
    password: colon === -1 ? undefined : userInfo?.slice(colon + 1),
    path: path ?? '',
    query: new URLSearchParams(query ?? ''),
  }
}

function findRules(scheme: string, context: TargetUrlContext): SchemeRules | undefined {
  const schemes: Record<string, SchemeRules> = context.schemes ?? TARGET_SCHEMES
  if (context.schemes === undefined && !isTargetScheme(scheme)) return undefined
  return Object.hasOwn(schemes, scheme) ? schemes[scheme] : undefined
}

/** Every user of the machine can read a command line, so secrets there are refused before anything else is judged. */
function refuseExposedSecrets(parts: UrlParts, rules: SchemeRules | undefined): void {
  const parameter = [...parts.query.keys()].find((name) => SECRET_NAME.test(name) || hasSecret(rules, name))
  const name = parts.password ? 'password' : parameter
  if (name === undefined) return
  const variable = rules?.secrets[name]?.[0] ?? 'KVAR_TARGETS'
  throw new KvarError(
    'SECRET_EXPOSED',
    `A ${parts.scheme}: target on the command line holds a secret ("${name}")`,
    {
      hint:
        variable === 'KVAR_TARGETS'
          ? 'put the whole target into the environment variable KVAR_TARGETS, and change the secret: others may have read it'
          : `put the secret into the environment variable ${variable}, and change it: others may have read it`,
      data: { scheme: parts.scheme, variable },
    },
  )
}

function readParameters(parts: UrlParts, rules: SchemeRules, context: TargetUrlContext) {
  const parameters = fromVariables(rules.variables ?? {}, context.environment)
  const secrets = fromVariables(rules.secrets, context.environment)
  if (parts.password) storeOnce(secrets, 'password', decode(parts.password, context), parts, rules, context)
  for (const [name, value] of parts.query) {
    storeOnce(hasSecret(rules, name) ? secrets : parameters, name, value, parts, rules, context)
  }
  return { parameters: sortedByName(parameters), secrets }
}

/** What the URL says goes before the environment, but nothing may be said twice in one URL. */
function storeOnce(
  values: Record<string, string>,
  name: string,
  value: string,
  parts: UrlParts,
  rules: SchemeRules,
  { source }: TargetUrlContext,
): void {
  const allowed = [...rules.parameters, ...Object.keys(rules.secrets)]
  if (!allowed.includes(name)) {
    const near = nearestName(name, allowed)
    const hint = near ? `did you mean "${near}"?` : `allowed are: ${allowed.join(', ') || 'none'}`
    throw settingInvalid(source, `a ${parts.scheme}: target takes no "${name.slice(0, 40)}"`, hint)
  }
  const isRepeated = parts.query.getAll(name).length + (name === 'password' && parts.password ? 1 : 0) > 1
  if (isRepeated) throw settingInvalid(source, `"${name}" is given twice in one target`, 'give it once')
  values[name] = value
}

function fromVariables(
  wanted: Record<string, string[]>,
  environment: Record<string, string | undefined>,
): Record<string, string> {
  const found: Record<string, string> = {}
  for (const [name, variables] of Object.entries(wanted)) {
    const variable = variables.find((candidate) => environment[candidate])
    if (variable !== undefined) found[name] = environment[variable] as string
  }
  return found
}

function readLocalPath(parts: UrlParts, context: TargetUrlContext): string {
  const { source, environment } = context
  const example = 'write folder:./backup or folder:/srv/backup'
  if (parts.authority || parts.user !== undefined) {
    throw settingInvalid(source, 'a folder target takes no host (two slashes begin a host)', example)
  }
  const path = decode(parts.path, context)
  if (path === '') throw settingInvalid(source, 'the folder target has no path', example)
  if (path.includes('\0'))
    throw settingInvalid(source, 'the path of a folder target holds a zero byte', example)
  if (!path.startsWith('~/')) return resolve(source.baseFolder, path)
  // The shell does not expand a tilde behind "folder:", and nobody wants a folder called "~".
  if (!environment.HOME)
    throw settingInvalid(source, '"~" needs the variable HOME, which is not set', example)
  return resolve(environment.HOME, path.slice(2))
}

function remoteUrl(parts: UrlParts, parameters: Record<string, string>): string {
  const user = parts.user ? `${parts.user}@` : ''
  const authority = parts.authority === undefined ? '' : `//${user}${parts.authority}`
  const query = new URLSearchParams(parameters).toString()
  // A slash at the end means nothing behind a host; without one (`dropbox:/`) it is the path.
  const path = parts.authority === undefined ? parts.path : parts.path.replace(/\/+$/, '')
  return `${parts.scheme}:${authority}${path}${query === '' ? '' : `?${query}`}`
}

function decode(text: string, { source }: TargetUrlContext): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    const hint = 'write "%25" for a per cent sign, "%20" for a space'
    throw settingInvalid(source, 'a target holds a "%" that begins no percent-encoding', hint, cause)
  }
}

function hasSecret(rules: SchemeRules | undefined, name: string): boolean {
  return rules !== undefined && Object.hasOwn(rules.secrets, name)
}

function sortedByName(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)))
}
