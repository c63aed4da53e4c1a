<?php
if (isset($_GET['sleep'])) {
    usleep((int) (1000000 * (float) $_GET['sleep']));
}
header('Content-Type: application/json');
echo json_encode([
    'method' => $_SERVER['REQUEST_METHOD'],
    'uri' => $_SERVER['REQUEST_URI'],
    'script' => $_SERVER['SCRIPT_NAME'],
    'path_info' => $_SERVER['PATH_INFO'] ?? '',
    'get' => $_GET,
    'post' => $_POST,
    'remote' => $_SERVER['REMOTE_ADDR'],
    'pid' => getmypid(),
]), "\n";
