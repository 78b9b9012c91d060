// Usage: ACCESS_KEY=… SECRET_KEY=… java Delete.java BASE_URL VDN CAMPAIGN BODY
import static java.nio.charset.StandardCharsets.UTF_8;

import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Delete {
    static final String CONTENT_TYPE = "application/json; charset=UTF-8";

    // URLEncoder writes forms: three characters differ.
    static String normalize(String text) {
        return URLEncoder.encode(text, UTF_8).replace("+", "%20").replace("*", "%2A").replace("%7E", "~");
    }

    static String hmac(String key, String message) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key.getBytes(UTF_8), "HmacSHA256"));
        return HexFormat.of().formatHex(mac.doFinal(message.getBytes(UTF_8)));
    }

    static String sign(URI uri, String body) throws Exception {
        String accessKey = System.getenv("ACCESS_KEY"), secretKey = System.getenv("SECRET_KEY");
        String signedHeaders = "content-type;host";
        // HttpClient makes the Host header itself, of the URL.
        String canonicalRequest = String.join("\n", "POST", uri.getRawPath(), signedHeaders,
            "content-type:" + normalize(CONTENT_TYPE), "host:" + normalize(uri.getRawAuthority()), normalize(body));
        Instant now = Instant.now().truncatedTo(ChronoUnit.SECONDS);
        String prefix = String.join("/", "auth-v2", accessKey, now.toString(), signedHeaders);
        return prefix + "/" + hmac(hmac(secretKey, prefix), canonicalRequest);
    }

    public static void main(String[] args) throws Exception {
        String path = "/rest/isales/v1/openapi/campaigns/" + args[1] + "/calldata/" + args[2] + "/delete";
        URI uri = URI.create(args[0] + path);
        HttpRequest request = HttpRequest.newBuilder(uri)
            .version(HttpClient.Version.HTTP_1_1)
            .header("Content-Type", CONTENT_TYPE)
            .header("Authorization", sign(uri, args[3]))
            .POST(HttpRequest.BodyPublishers.ofString(args[3], UTF_8))
            .build();
        HttpResponse<String> response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString(UTF_8));
        // Written as UTF-8 whatever the locale.
        System.out.write((response.body() + "\n").getBytes(UTF_8));
        System.exit(response.statusCode() == 200 ? 0 : 1);
    }
}
