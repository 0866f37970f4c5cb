import type { TargetSetting } from '../../settings/target-url.ts'
import { assertTls } from '../http/plain-http.ts'
import { remoteAddress, targetInvalid } from '../remote-address.ts'

/** Everything an S3 target needs to know. */
export interface S3Settings {
  /** The target's URL, without secrets. */
  url: string
  bucket: string
  /** Where the target's keys begin inside the bucket; never empty, without slashes at its ends. */
  prefix: string
  /** `https://host[:port][/path]` without a slash at its end. */
  endpoint: string
  region: string
  /** Whether the bucket stands in the path or in the host name. */
  addressing: 'path' | 'virtual'
  credentials: S3Credentials
}

export interface S3Credentials {
  accessKeyId: string
  secretAccessKey: string
  sessionToken?: string
}

const EXAMPLE = 's3://bucket/app?endpoint=https://s3.example.com&region=us-east-1'
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/

/**
 * The S3 target's own view of a setting that `parseTargetUrl` has checked already.
 *
 * @throws KvarError `SETTING_INVALID` with what is missing
 */
export function readS3Settings(setting: TargetSetting): S3Settings {
  const { bucket, prefix } = readPlace(setting)
  const { endpoint: given } = setting.parameters
  const region = setting.parameters.region ?? regionOf(given) ?? 'us-east-1'
  const endpoint = readEndpoint(setting, given ?? awsEndpoint(region))
  const addressing = readAddressing(setting, { bucket, isAws: given === undefined })
  return { url: setting.url, bucket, prefix, endpoint, region, addressing, credentials: readKeys(setting) }
}

function readPlace(setting: TargetSetting): { bucket: string; prefix: string } {
  const { host: bucket, path, user, port } = remoteAddress(setting, EXAMPLE)
  if (!BUCKET.test(bucket) || port !== undefined) {
    throw targetInvalid(setting, 'it names no bucket', `write for example ${EXAMPLE}`)
  }
  if (user !== undefined) {
    throw targetInvalid(setting, 'a bucket has no user', `put the keys into ${AWS_NAMES}`)
  }
  const prefix = path.replace(/^\/|\/$/g, '')
  // Litestream cannot restore from the root of a bucket, and a bucket is soon shared.
  if (prefix === '') {
    throw targetInvalid(setting, 'it names no folder inside the bucket', `write for example ${EXAMPLE}`)
  }
  if (!isPrefix(prefix)) {
    throw targetInvalid(
      setting,
      'it names a folder that S3 programs disagree about',
      'use plain names between single slashes',
    )
  }
  return { bucket, prefix }
}

function isPrefix(prefix: string): boolean {
  const isPlain = (part: string) => part !== '' && part !== '.' && part !== '..'
  return prefix.length <= 200 && prefix.split('/').every(isPlain) && !/[\p{Cc}\p{Cs}\\]/u.test(prefix)
}

function awsEndpoint(region: string): string {
  return `https://s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`
}

/** Providers that write the region into the name of their server, or know only one. */
const REGIONS: Array<[RegExp, (match: RegExpExecArray) => string]> = [
  [/^s3[.-]([a-z0-9-]+)\.amazonaws\.com/, ([, region]) => region as string],
  [/^s3\.([a-z0-9-]+)\.(?:backblazeb2|wasabisys)\.com$/, ([, region]) => region as string],
  [/^([a-z0-9-]+)\.digitaloceanspaces\.com$/, ([, region]) => region as string],
  [/\.r2\.cloudflarestorage\.com$/, () => 'auto'],
  [/(?:^|\.)(?:storage\.tigris|storage)\.dev$/, () => 'auto'],
]

function regionOf(endpoint: string | undefined): string | undefined {
  const host = endpoint !== undefined && URL.canParse(endpoint) ? new URL(endpoint).hostname : ''
  for (const [pattern, region] of REGIONS) {
    const match = pattern.exec(host)
    if (match !== null) return region(match)
  }
  return undefined
}

function readEndpoint(setting: TargetSetting, text: string): string {
  const hint = 'write for example endpoint=https://s3.example.com'
  if (!/^https?:\/\//.test(text) || !URL.canParse(text))
    throw targetInvalid(setting, 'its endpoint is no address', hint)
  const url = new URL(text)
  if (url.username !== '' || url.search !== '' || url.hash !== '') {
    throw targetInvalid(setting, 'its endpoint is more than host, port and path', hint)
  }
  assertTls(setting, url)
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
}

function readAddressing(
  setting: TargetSetting,
  { bucket, isAws }: { bucket: string; isAws: boolean },
): 'path' | 'virtual' {
  const { addressing } = setting.parameters
  if (addressing === 'path' || addressing === 'virtual') return addressing
  if (addressing !== undefined) {
    throw targetInvalid(setting, 'its addressing is unknown', 'write addressing=path or addressing=virtual')
  }
  // A dot in the bucket's name does not fit the certificate of *.s3.amazonaws.com.
  return isAws && !bucket.includes('.') ? 'virtual' : 'path'
}

/** Our own variables or the common ones, never one of each: a host's token does not fit a key of yours. */
function readKeys(setting: TargetSetting): S3Credentials {
  const { secrets } = setting
  const hasOwn = Boolean(secrets.accessKeyId || secrets.secretAccessKey)
  const [accessKeyId, secretAccessKey, sessionToken] = hasOwn
    ? [secrets.accessKeyId, secrets.secretAccessKey, secrets.sessionToken]
    : [secrets.awsAccessKeyId, secrets.awsSecretAccessKey, secrets.awsSessionToken]
  if (!accessKeyId || !secretAccessKey) {
    const names = hasOwn ? 'KVAR_S3_ACCESS_KEY_ID and KVAR_S3_SECRET_ACCESS_KEY' : AWS_NAMES
    throw targetInvalid(setting, 'there are no keys for it', `put them into the environment: ${names}`)
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) }
}

const AWS_NAMES =
  'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or KVAR_S3_ACCESS_KEY_ID and KVAR_S3_SECRET_ACCESS_KEY)'
