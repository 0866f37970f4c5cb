/**
 * What a target's URL may say, per scheme: the one list that settings, errors and `openTarget` share.
 * A new target begins with a line here; `openTarget` then does not compile until it knows it too.
 */
export type TargetScheme =
  | 'folder'
  | 's3'
  | 'webdav'
  | 'webdavs'
  | 'postgres'
  | 'postgresql'
  | 'sftp'
  | 'dropbox'
  | 'gdrive'

export interface SchemeRules {
  /** A URL that could be typed as it stands, for hints. */
  example: string
  /** The URL names a path of this machine; relative ones are made absolute. */
  isLocalPath: boolean
  /** `false`: targets of this kind never refuse a second writer for sure, so they are the ledger only when alone. */
  canFence?: false
  /** The names that may stand behind `?`. */
  parameters: string[]
  /** Environment variables that give a parameter which the URL does not; the first that is set wins. */
  variables?: Record<string, string[]>
  /** Secrets by name, each with the environment variables that may hold it, the first that is set wins. */
  secrets: Record<string, string[]>
}

/** Providers print their addresses with either name; both mean the same. */
const POSTGRES: Omit<SchemeRules, 'example'> = {
  isLocalPath: false,
  parameters: ['schema', 'prefix', 'host', 'sslmode', 'sslrootcert'],
  secrets: {
    password: ['KVAR_POSTGRES_PASSWORD', 'PGPASSWORD'],
    rootCertificate: ['KVAR_POSTGRES_CA'],
  },
}

const WEBDAV: Omit<SchemeRules, 'example'> = {
  isLocalPath: false,
  parameters: ['user', 'tls'],
  variables: { user: ['KVAR_WEBDAV_USER'] },
  secrets: { password: ['KVAR_WEBDAV_PASSWORD'] },
}

export const TARGET_SCHEMES: Record<TargetScheme, SchemeRules> = {
  folder: { example: 'folder:./backup', isLocalPath: true, parameters: [], secrets: {} },
  s3: {
    example: 's3://bucket/app?endpoint=https://s3.example.com&region=us-east-1',
    isLocalPath: false,
    parameters: ['endpoint', 'region', 'addressing', 'tls'],
    variables: {
      endpoint: ['KVAR_S3_ENDPOINT', 'AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL'],
      region: ['KVAR_S3_REGION', 'AWS_REGION', 'AWS_DEFAULT_REGION'],
    },
    // Ours and the common ones under names of their own: they must not be mixed (s3-settings.ts).
    secrets: {
      accessKeyId: ['KVAR_S3_ACCESS_KEY_ID'],
      secretAccessKey: ['KVAR_S3_SECRET_ACCESS_KEY'],
      sessionToken: ['KVAR_S3_SESSION_TOKEN'],
      awsAccessKeyId: ['AWS_ACCESS_KEY_ID'],
      awsSecretAccessKey: ['AWS_SECRET_ACCESS_KEY'],
      awsSessionToken: ['AWS_SESSION_TOKEN'],
    },
  },
  webdav: { example: 'webdav://anna@localhost:8080/dav/app', ...WEBDAV },
  webdavs: { example: 'webdavs://anna@cloud.example.com/remote.php/dav/files/anna/app', ...WEBDAV },
  postgres: { ...POSTGRES, example: 'postgres://user@host:5432/database' },
  postgresql: { ...POSTGRES, example: 'postgresql://user@host:5432/database' },
  sftp: {
    example: 'sftp://user@host:22/folder',
    isLocalPath: false,
    parameters: ['hostkey', 'identity'],
    variables: { hostkey: ['KVAR_SFTP_HOST_KEY'] },
    secrets: {
      password: ['KVAR_SFTP_PASSWORD'],
      privateKey: ['KVAR_SFTP_KEY'],
      passphrase: ['KVAR_SFTP_PASSPHRASE'],
    },
  },
  // `endpoint` of these two is for tests (targets/http/test-endpoint.ts).
  dropbox: {
    example: 'dropbox:/Folder',
    isLocalPath: false,
    parameters: ['endpoint'],
    // The app's key is no secret, but it does not belong to the place: a URL stays the same with a new app.
    secrets: {
      appKey: ['KVAR_DROPBOX_APP_KEY'],
      appSecret: ['KVAR_DROPBOX_APP_SECRET'],
      refreshToken: ['KVAR_DROPBOX_REFRESH_TOKEN'],
    },
  },
  gdrive: {
    example: 'gdrive:/Folder',
    isLocalPath: false,
    canFence: false,
    parameters: ['drive', 'endpoint'],
    secrets: {
      clientId: ['KVAR_GDRIVE_CLIENT_ID'],
      clientSecret: ['KVAR_GDRIVE_CLIENT_SECRET'],
      refreshToken: ['KVAR_GDRIVE_REFRESH_TOKEN'],
      serviceAccount: ['KVAR_GDRIVE_SERVICE_ACCOUNT'],
    },
  },
}

/** Narrows a scheme that a person wrote to one that this program knows. */
export function isTargetScheme(scheme: string): scheme is TargetScheme {
  return Object.hasOwn(TARGET_SCHEMES, scheme)
}

/** Whether targets of a scheme may be able to refuse a second writer; some never are. */
export function mayFence(scheme: string): boolean {
  return !isTargetScheme(scheme) || TARGET_SCHEMES[scheme].canFence !== false
}

/** For errors: `folder: (folder:./backup)`, one for each known scheme. */
export function knownSchemes(): string {
  return Object.entries(TARGET_SCHEMES)
    .map(([scheme, rules]) => `${scheme}: (${rules.example})`)
    .join(', ')
}
