import { openLog, productModule } from './product.mjs'

/*
 * A restore as a process of its own, like the command it stands beside: newest version of a folder
 * target to a new file, every check included.
 *   node restore.mjs TARGET-FOLDER NEW-FILE
 */

const [targetPath = '', path = ''] = process.argv.slice(2)
const { platform, target, log } = await openLog(targetPath)
const { restoreToFile } = await productModule('log/restore')
const plan = await log.plan({ kind: 'latest' })
await restoreToFile({ log, plan, path, platform })
await target.close()
