import { KvarError } from '../errors.ts'

/**
 * Loads a library that only one kind of target needs. Such libraries are optional peers: whoever does
 * not use the target does not install them, and nobody pays for loading them.
 *
 * @param packageName what to install when it is missing
 * @param neededFor completes "… which … need": `postgres: targets`
 * @throws KvarError `SETTING_INVALID` when the package is not installed
 * @example
 * const { default: pg } = await loadLibrary('pg', 'postgres: targets', () => import('pg'))
 */
export async function loadLibrary<Library>(
  packageName: string,
  neededFor: string,
  load: () => Promise<Library>,
): Promise<Library> {
  try {
    return await load()
  } catch (cause) {
    // Only the package itself: one that is there and lacks something of its own is another trouble.
    const { code, message } = cause as { code?: unknown; message?: unknown }
    const isMissing = code === 'ERR_MODULE_NOT_FOUND' && String(message).includes(`'${packageName}'`)
    if (!isMissing) throw cause
    throw new KvarError(
      'SETTING_INVALID',
      `The package "${packageName}", which ${neededFor} need, is not installed`,
      { hint: `run: npm i ${packageName}`, data: { packageName }, cause },
    )
  }
}
