// The texts in traditional Chinese, made of the simplified ones: by Taiwan's words first, then by character.

import { texts as simplified } from "./chinese.js";

/** Words that differ by more than their characters, in the simplified texts and in Taiwan. */
const WORDS = {
  用户: "使用者", 充值: "儲值", 刷新: "重新整理", 加载: "載入", 数据库: "資料庫", 数据: "資料", 网络: "網路",
  设备: "裝置", 响应: "回應", 日志: "記錄檔", 联系: "聯絡", 搜索: "搜尋", 字符: "字元", 超时: "逾時",
  禁用: "停用", 恢复: "恢復", 复制: "複製", 自定义: "自訂", 访问: "存取", 连接: "連線", 获取: "取得", 地址: "位址", "“": "「", "”": "」", 粘贴: "貼上", 范围: "範圍",
};

/** Each simplified character of the other texts and its traditional one. */
const CHARACTERS =
  "从從会會内內写寫删刪别別务務动動单單启啟员員图圖处處对對将將尽盡属屬币幣带帶应應开開录錄总總" +
  "择擇换換数數无無时時显顯暂暫来來检檢没沒浏瀏点點码碼称稱约約线線结結绝絕统統继繼续續览覽计計订訂记記许許识識" +
  "试試询詢该該语語请請读讀败敗费費赠贈载載过過这這选選错錯键鍵间間阅閱隐隱页頁项項须須频頻额額兑兌与與个個响響确確离離复復于於划劃占佔余餘后後账帳户戶";

const MAP = new Map([...Object.entries(WORDS), ...CHARACTERS.match(/../gu).map((pair) => [...pair])]);
const PATTERN = new RegExp([...MAP.keys()].join("|"), "g");

const convert = (text) => text.replace(PATTERN, (found) => MAP.get(found));

/** Marks that stand for a text's arguments: what a site or its users wrote is not converted. */
const mark = (index) => String.fromCharCode(0xe000 + index);

function convertFunction(text) {
  const converted = (...values) => {
    const marked = convert(text(...values.map((value, index) => (value ? mark(index) : value))));
    return marked.replace(/[\ue000-\ue009]/g, (found) => values[found.charCodeAt(0) - 0xe000]);
  };
  return Object.defineProperty(converted, "length", { value: text.length });
}

const convertAll = (text) => {
  if (typeof text === "string") return convert(text);
  if (typeof text === "function") return convertFunction(text);
  if (Array.isArray(text)) return text.map(convertAll);
  return Object.fromEntries(Object.entries(text).map(([name, each]) => [name, convertAll(each)]));
};

export const texts = convertAll(simplified);
