/** Programs that are measured are plain JavaScript: stripping types would count as the product's time. */
const compiled = process.env.KVAR_BENCH_SOURCE !== '1'

/** @param {string} path of a module of the library, in `src`, without extension */
export function productModule(path) {
  const file = compiled ? `dist/${path}.js` : `src/${path}.ts`
  return import(new URL(`../../packages/kvar/${file}`, import.meta.url).href)
}

/** @param {string} path of a folder target */
export async function openLog(path) {
  const { systemPlatform: platform } = await productModule('platform/system')
  const { createFolderTarget } = await productModule('targets/folder/folder-target')
  const { VersionLog } = await productModule('log/version-log')
  const target = await createFolderTarget({ path, platform })
  return { platform, target, log: new VersionLog(target) }
}
