import { createHash } from 'node:crypto'
import { loadLibrary } from '../load-library.ts'
import type { S3Credentials } from './s3-settings.ts'

/** What is used of the package `aws4fetch`: its Signature Version 4. */
export interface SigningLibrary {
  AwsV4Signer: new (request: SigningRequest) => { sign(): Promise<{ url: URL; headers: Headers }> }
}

interface SigningRequest extends S3Credentials {
  method: string
  url: string
  headers: Record<string, string>
  service: string
  region: string
  /** `20260101T000000Z` */
  datetime: string
  cache: Map<string, ArrayBuffer>
}

/** Signs the requests of one target; keys derived for a day are kept. */
export class S3Signer {
  readonly #library: SigningLibrary
  readonly #options: { credentials: S3Credentials; region: string; nowMs: () => number }
  readonly #derivedKeys = new Map<string, ArrayBuffer>()

  constructor(
    library: SigningLibrary,
    options: { credentials: S3Credentials; region: string; nowMs: () => number },
  ) {
    this.#library = library
    this.#options = options
  }

  /** The headers to send, `authorization` among them. */
  async sign(request: {
    method: string
    url: string
    headers: Record<string, string>
  }): Promise<Record<string, string>> {
    const { credentials, region, nowMs } = this.#options
    const datetime = new Date(nowMs()).toISOString().replace(/[-:]|\.\d+/g, '')
    if (this.#derivedKeys.size > DERIVED_KEYS_LIMIT) this.#derivedKeys.clear()
    const signer = new this.#library.AwsV4Signer({
      ...request,
      ...credentials,
      service: 's3',
      region,
      datetime,
      cache: this.#derivedKeys,
    })
    const { headers } = await signer.sign()
    return Object.fromEntries(headers)
  }
}

/** One a day; a keeper may run for years. */
const DERIVED_KEYS_LIMIT = 8

/** For bodies that are not in memory as a whole: TLS protects them, and every file of the log has checksums. */
export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD'

export function payloadHash(body: Uint8Array | undefined): string {
  return createHash('sha256')
    .update(body ?? new Uint8Array(0))
    .digest('hex')
}

/** Loads the optional package when an S3 target is opened. */
export function loadSigningLibrary(): Promise<SigningLibrary> {
  return loadLibrary<SigningLibrary>('aws4fetch', 's3: targets', () => import('aws4fetch'))
}
