import type { HttpAnswer, HttpBodySource } from '../../platform/http-client.ts'
import type { Platform } from '../../platform/platform.ts'
import { BearerCaller } from '../http/bearer-caller.ts'
import { type HttpCaller, readText } from '../http/http-caller.ts'
import { statusFailure } from '../http/http-errors.ts'
import { asObject, asObjects, asWord, type JsonObject, parseObject, readJson } from '../http/json.ts'
import { type OAuthToken, requestToken } from '../http/oauth-token.ts'
import type { TargetError } from '../target.ts'
import { explainGoogleDrive } from './google-drive-errors.ts'
import { type GoogleDriveSettings, OWN_FILES_SCOPE } from './google-drive-settings.ts'
import { readServiceAccount, type ServiceAccount, signAssertion } from './service-account.ts'

export type GoogleDrivePlatform = Pick<Platform, 'clock' | 'files' | 'random' | 'openHttpClient'>

/** All files of the drives that a service account is a member of: these drives are what limits it. */
const WHOLE_DRIVE_SCOPE = 'https://www.googleapis.com/auth/drive'

export interface DriveRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Absolute; addresses of the API and of uploads are in the settings. */
  url: string
  query?: Record<string, string>
  headers?: Record<string, string>
  /** Sent as JSON. */
  json?: JsonObject
  body?: Uint8Array | HttpBodySource
  signal?: AbortSignal | undefined
  /** Completes "Cannot …". */
  doing: string
}

/** An answer of Google's. When the status says no, its body has been read. */
export interface DriveAnswer extends HttpAnswer {
  /** The server's own word for what went wrong, such as `storageQuotaExceeded`. */
  reason: string | undefined
}

/** Requests to the Drive API: addresses, tokens and the meaning of errors. */
export class GoogleDriveRequests {
  readonly settings: GoogleDriveSettings
  readonly #platform: GoogleDrivePlatform
  readonly #caller: HttpCaller
  readonly #bearer: BearerCaller
  #account: ServiceAccount | undefined

  constructor(settings: GoogleDriveSettings, caller: HttpCaller, platform: GoogleDrivePlatform) {
    this.settings = settings
    this.#platform = platform
    this.#caller = caller
    this.#bearer = new BearerCaller(caller, platform.clock, () => this.#signIn())
  }

  /** Sends a request; whatever the server says is an answer. */
  async send(request: DriveRequest): Promise<DriveAnswer> {
    const { method, url, query, headers, json, signal, doing } = request
    const body = json === undefined ? request.body : new TextEncoder().encode(JSON.stringify(json))
    const type = json === undefined ? {} : { 'content-type': 'application/json; charset=UTF-8' }
    // Shared drives are left out of everything unless this is said ("Implement shared drive support").
    const search = new URLSearchParams({ ...query, supportsAllDrives: 'true' })
    const answer = await this.#bearer.send(
      {
        method,
        url: query === undefined ? url : `${url}?${search}`,
        headers: { ...type, ...headers },
        ...(body === undefined ? {} : { body }),
        ...(signal ? { signal } : {}),
      },
      doing,
    )
    return { ...answer, reason: answer.status < 400 ? undefined : await this.#reasonOf(answer) }
  }

  /** Sends a request and reads its answer as JSON; refusals become errors. */
  async sendForJson(request: DriveRequest): Promise<JsonObject> {
    const answer = await this.send(request)
    if (answer.status >= 300) throw this.failure(answer, request.doing)
    return readJson(answer, this.settings.url)
  }

  /** 32 hexadecimal digits that nobody can guess. */
  randomWord(): string {
    return Buffer.from(this.#platform.random.bytes(16)).toString('hex')
  }

  failure(answer: Pick<DriveAnswer, 'status' | 'headers' | 'reason'>, doing: string): TargetError {
    const { status, reason } = answer
    const call = { doing, url: this.settings.url, code: reason, nowMs: this.#platform.clock.nowMs() }
    return statusFailure(answer, explainGoogleDrive(status, reason), call)
  }

  async #reasonOf(answer: HttpAnswer): Promise<string | undefined> {
    const error = asObject(parseObject(await readText(answer, this.settings.url))?.error)
    const reasons = [...asObjects(error?.errors), ...asObjects(error?.details)].map((one) =>
      asWord(one.reason),
    )
    return reasons.find((reason) => reason !== undefined)
  }

  async #signIn(): Promise<OAuthToken> {
    const { settings } = this
    return requestToken(this.#caller, {
      address: settings.addresses.token,
      form: await this.#signInForm(),
      url: settings.url,
      nowMs: this.#platform.clock.nowMs(),
      refusedHint:
        settings.credentials.kind === 'person'
          ? 'run "kvar login google" again; while your project is in "Testing", Google ends every sign-in after 7 days'
          : 'is the key of KVAR_GDRIVE_SERVICE_ACCOUNT still valid, and the clock of this machine right?',
    })
  }

  async #signInForm(): Promise<Record<string, string>> {
    const { credentials, addresses, sharedDrive } = this.settings
    if (credentials.kind === 'person') {
      const { clientId, clientSecret, refreshToken } = credentials
      const app = { client_id: clientId, client_secret: clientSecret }
      return { grant_type: 'refresh_token', refresh_token: refreshToken, ...app }
    }
    this.#account ??= await readServiceAccount(credentials.key, this.#platform.files)
    const assertion = signAssertion(this.#account, {
      scope: sharedDrive === undefined ? OWN_FILES_SCOPE : WHOLE_DRIVE_SCOPE,
      audience: addresses.token,
      nowMs: this.#platform.clock.nowMs(),
    })
    return { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }
  }
}
