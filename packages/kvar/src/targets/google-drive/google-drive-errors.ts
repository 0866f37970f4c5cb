import { type Explanation, explainStatus, LATER } from '../http/http-errors.ts'

const SIGN_IN = 'run "kvar login google" again and put the new KVAR_GDRIVE_REFRESH_TOKEN into the environment'
const RIGHTS = 'the sign-in must allow drive.file; a service account must be a manager of the shared drive'
const SWITCH_ON = 'switch the Google Drive API on for your project (docs/providers/google-drive.md, step 2)'
const ROOM =
  'make room or buy some; a service account has no room of its own and needs a shared drive. Versions wait here meanwhile'

/**
 * The reasons in Google Drive's errors. Sources: Drive API, "Resolve errors" (developers.google.com/
 * workspace/drive/api/guides/handle-errors), "Usage limits" and "Global errors" of the same site. Reasons
 * that are not here are judged by their status.
 */
const REASONS: Record<string, Explanation> = {
  authError: denied('Google does not accept the sign-in', SIGN_IN),
  accessNotConfigured: denied('the Drive API is not switched on', SWITCH_ON),
  SERVICE_DISABLED: denied('the Drive API is not switched on', SWITCH_ON),
  appNotAuthorizedToFile: denied('the app did not make this file', RIGHTS),
  domainPolicy: denied('the organisation does not allow it', 'ask the administrator of your organisation'),
  forbidden: denied('the sign-in does not give the right to it', RIGHTS),
  insufficientFilePermissions: denied('the sign-in does not give the right to it', RIGHTS),
  insufficientPermissions: denied('the sign-in does not give the right to it', RIGHTS),
  ACCESS_TOKEN_SCOPE_INSUFFICIENT: denied('the sign-in does not give the right to it', RIGHTS),
  teamDriveMembershipRequired: denied('the service account is no member of the shared drive', RIGHTS),

  rateLimitExceeded: temporary('Google Drive is asked too often'),
  userRateLimitExceeded: temporary('Google Drive is asked too often'),
  sharingRateLimitExceeded: temporary('Google Drive is asked too often'),
  dailyLimitExceeded: temporary('the requests of this day are used up'),
  downloadQuotaExceeded: temporary('the downloads of this day are used up'),
  backendError: temporary('Google Drive failed'),
  internalError: temporary('Google Drive failed'),

  storageQuotaExceeded: full('the drive is full'),
  teamDriveFileLimitExceeded: full('the shared drive holds as many files as it may'),
  numChildrenInNonRootLimitExceeded: full('the folder holds as many files as it may'),
  activeItemCreationLimitExceeded: full('the account holds as many files as it may'),

  cannotDownloadAbusiveFile: permanent('Google has locked the file', 'look at it in Google Drive'),
  uploadTooLarge: permanent(
    'Google Drive takes no object this large',
    'use another provider for this database',
  ),
}

export function explainGoogleDrive(status: number, reason: string | undefined): Explanation {
  const known = reason !== undefined && Object.hasOwn(REASONS, reason) ? REASONS[reason] : undefined
  if (known !== undefined) return known
  if (status === 401) return denied('Google does not accept the sign-in', SIGN_IN)
  if (status === 403) return denied('the sign-in does not give the right to it', RIGHTS)
  if (status === 404) return temporary('the folder or file is gone')
  return explainStatus(status)
}

function temporary(reason: string): Explanation {
  return { failure: 'temporary', reason, hint: LATER }
}

function denied(reason: string, hint: string): Explanation {
  return { failure: 'denied', reason, hint }
}

function full(reason: string): Explanation {
  return { failure: 'full', reason, hint: ROOM }
}

function permanent(reason: string, hint: string): Explanation {
  return { failure: 'permanent', reason, hint }
}
